"""What tests in other engines share: what visitors do and see."""

from collections.abc import Callable

import httpx
import pytest
from selenium.common.exceptions import (
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.helpers import PASSWORD

TIMEOUT = 30  # seconds; busy machines are slow
NOT_YET = (NoSuchElementException, StaleElementReferenceException, ElementNotInteractableException)


def wait_until(browser: WebDriver, condition: Callable[[], object], description: str) -> None:
    """Wait for what a script or the server brings about."""
    waiting = WebDriverWait(browser, TIMEOUT, poll_frequency=0.05, ignored_exceptions=NOT_YET)
    try:
        waiting.until(lambda _: condition())
    except TimeoutException:
        pytest.fail(f"{description}, but it has: {page_text(browser)}")


def find(browser: WebDriver, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def page_text(browser: WebDriver) -> str:
    return find(browser, "body").text


def is_visible(browser: WebDriver, selector: str) -> bool:
    return any(element.is_displayed() for element in browser.find_elements(By.CSS_SELECTOR, selector))


def wait_for_text(browser: WebDriver, selector: str, text: str) -> None:
    """Wait until an element shows that text, among others; with "" until it shows none."""

    def shows() -> bool:
        shown = find(browser, selector).text
        return text in shown if text else not shown

    wait_until(browser, shows, f"{selector} should show {text!r}")


def wait_until_live(browser: WebDriver) -> None:
    wait_until(
        browser,
        lambda: is_visible(browser, "#live") and not is_visible(browser, "#connecting"),
        "the page should be live",
    )


def wait_until_connecting(browser: WebDriver) -> None:
    wait_until(
        browser,
        lambda: is_visible(browser, "#connecting") and not is_visible(browser, "#live"),
        "the page should say that it connects",
    )


def listed_names(browser: WebDriver) -> list[str]:
    return [name.text for name in browser.find_elements(By.CSS_SELECTOR, "#users li bdi")]


def wait_for_names(browser: WebDriver, *names: str) -> None:
    wait_until(browser, lambda: listed_names(browser) == list(names), f"the list should be {names}")


def click(browser: WebDriver, selector: str) -> None:
    def clicked() -> bool:
        find(browser, selector).click()
        return True

    wait_until(browser, clicked, f"{selector} should be there to click")


def fill(browser: WebDriver, selector: str, text: str) -> None:
    def filled() -> bool:
        field = find(browser, selector)
        field.clear()
        field.send_keys(text)
        return True

    wait_until(browser, filled, f"{selector} should be there to fill in")


def register(browser: WebDriver, username: str, password: str = PASSWORD) -> None:
    fill(browser, "#username", username)
    fill(browser, "#password", password)
    click(browser, "#register-form > button")


def register_elsewhere(url: str, username: str) -> None:
    """Register somebody from another computer."""
    response = httpx.post(f"{url}/register", data={"username": username, "password": PASSWORD})
    assert response.status_code == 303


def sign_in(browser: WebDriver, username: str, password: str = PASSWORD) -> None:
    if not is_visible(browser, "#sign-in"):
        click(browser, "#account-panel summary")
    fill(browser, "#sign-in-username", username)
    fill(browser, "#sign-in-password", password)
    click(browser, "#sign-in > button")
    wait_for_text(browser, "#account", username)


def sign_out(browser: WebDriver) -> None:
    click(browser, "#sign-out > button")
    wait_until(browser, lambda: not is_visible(browser, "#sign-out"), "nobody should be signed in")


def change_password(browser: WebDriver, current: str, new: str) -> None:
    click(browser, "#account-panel summary")
    fill(browser, "#current-password", current)
    fill(browser, "#new-password", new)
    click(browser, "form[action$='/account/password'] > button")


def open_second_window(browser: WebDriver, url: str) -> None:
    """Open the page in another window of the same browser, and go on there."""
    browser.switch_to.new_window("window")
    browser.get(url)
