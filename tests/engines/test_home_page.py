"""What visitors do on the page, in Firefox and in WebKit."""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from tests.engines.helpers import (
    change_password,
    click,
    fill,
    find,
    is_visible,
    register,
    register_elsewhere,
    sign_in,
    sign_out,
    wait_for_names,
    wait_for_text,
    wait_until,
    wait_until_live,
)
from tests.helpers import OTHER_PASSWORD, PASSWORD

TRANSPARENT = ("transparent", "rgba(0, 0, 0, 0)")


def test_the_page_goes_live_and_shows_who_registers(browser: WebDriver, url: str) -> None:
    browser.get(url)
    wait_until_live(browser)
    register(browser, "Zoe")
    wait_for_text(browser, "#register-message", "Zoe")
    wait_for_names(browser, "Zoe")
    wait_for_text(browser, "#count", "1")


def test_a_name_that_exists_is_refused_and_stays_in_its_field(browser: WebDriver, url: str) -> None:
    register_elsewhere(url, "Zoe")
    browser.get(url)
    register(browser, "zoe")
    wait_for_text(browser, "#register-message", "zoe already exists")
    assert find(browser, "#username").get_property("value") == "zoe"


def test_the_page_says_while_typing_whether_a_name_is_free(browser: WebDriver, url: str) -> None:
    register_elsewhere(url, "Zoe")
    browser.get(url)
    fill(browser, "#username", "zoe")
    wait_for_text(browser, "#availability", "already exists")
    fill(browser, "#username", "anna")
    wait_for_text(browser, "#availability", "anna is free.")


def test_a_password_can_be_shown_and_hidden(browser: WebDriver, url: str) -> None:
    browser.get(url)
    wait_until_live(browser)
    for kind in "text", "password":
        click(browser, "[aria-controls=password]")
        assert find(browser, "#password").get_property("type") == kind


def test_a_user_signs_in_and_out_and_changes_the_password(browser: WebDriver, url: str) -> None:
    register_elsewhere(url, "Zoe")
    browser.get(url)
    wait_until_live(browser)
    sign_in(browser, "Zoe")
    change_password(browser, PASSWORD, OTHER_PASSWORD)
    wait_for_text(browser, "#account-message", "password")
    sign_out(browser)
    sign_in(browser, "Zoe", OTHER_PASSWORD)


def test_the_back_button_leaves_a_search(browser: WebDriver, url: str) -> None:
    for name in "Anna", "Zoe":
        register_elsewhere(url, name)
    browser.get(url)
    wait_until_live(browser)
    fill(browser, "#q", "an")
    wait_for_names(browser, "Anna")
    wait_until(browser, lambda: "q=an" in browser.current_url, "the address should have the search")
    browser.back()
    wait_for_names(browser, "Zoe", "Anna")
    assert find(browser, "#q").get_property("value") == ""


def test_fields_and_buttons_can_be_seen(browser: WebDriver, url: str) -> None:
    browser.get(url)
    for element in browser.find_elements(By.CSS_SELECTOR, "input, button:not(.reveal)"):
        if not element.is_displayed():
            continue
        border, background = (
            element.value_of_css_property(name) for name in ("border-top-color", "background-color")
        )
        has_border = border not in TRANSPARENT and element.value_of_css_property("border-top-width") != "0px"
        assert has_border or background not in TRANSPARENT, element.get_attribute("outerHTML")


@pytest.mark.no_javascript
def test_the_page_works_without_javascript(browser: WebDriver, url: str) -> None:
    browser.get(url)
    assert not is_visible(browser, "[aria-controls=password]")
    register(browser, "Zoe")
    wait_for_names(browser, "Zoe")
    wait_for_text(browser, "#register-message", "Zoe")
