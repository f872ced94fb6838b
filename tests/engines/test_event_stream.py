"""static/event_stream.js in other engines: windows beside each other, and connections that fail."""

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.engines.faulty_proxy import FaultyProxy
from tests.engines.helpers import (
    fill,
    open_second_window,
    page_text,
    register,
    register_elsewhere,
    wait_for_names,
    wait_for_text,
    wait_until_connecting,
    wait_until_live,
)
from tests.helpers import StartServer

NO_ANSWER = "No answer came, so it may be done or not."
HTML = b"Content-Type: text/html\r\nConnection: close\r\n\r\n<h1>Another page</h1>"
BAD_ANSWERS = {
    "none": b"",
    "a proxy's error": b"HTTP/1.1 502 Bad Gateway\r\n" + HTML,
    "busy": b"HTTP/1.1 503 Service Unavailable\r\nVary: HX-Request\r\n" + HTML,
    "a page to sign in to the network": b"HTTP/1.1 200 OK\r\n" + HTML,
    "a stream that ends": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
}


def test_a_second_window_goes_live_and_follows_the_first(browser: WebDriver, url: str) -> None:
    browser.get(url)
    wait_until_live(browser)
    first = browser.current_window_handle
    open_second_window(browser, url)
    wait_until_live(browser)
    second = browser.current_window_handle
    browser.switch_to.window(first)
    register(browser, "Zoe")
    wait_for_names(browser, "Zoe")
    browser.switch_to.window(second)
    wait_for_names(browser, "Zoe")
    wait_for_text(browser, "#count", "1")


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_first_connection_that_fails_is_tried_again(
    browser: WebDriver, proxy: FaultyProxy, answer: bytes
) -> None:
    with proxy.answering(answer):
        browser.get(proxy.url)
        wait_until_connecting(browser)
        assert "Another page" not in page_text(browser)
    wait_until_live(browser)
    register_elsewhere(proxy.url, "Zoe")
    wait_for_names(browser, "Zoe")


def test_the_page_is_live_again_after_a_restart(
    browser: WebDriver, serve: StartServer, database_url: str
) -> None:
    server = serve(DATABASE_URL=database_url)
    for name in "Anna", "Zoe":
        register_elsewhere(server.url, name)
    browser.get(server.url)
    wait_until_live(browser)
    server.stop()
    wait_until_connecting(browser)
    register(browser, "Eve")
    wait_for_text(browser, "#register-message", NO_ANSWER)
    fill(browser, "#q", "an")
    wait_for_text(browser, "#notice", "There is no connection")
    serve(DATABASE_URL=database_url, BIND=server.url.removeprefix("http://"))
    wait_until_live(browser)
    wait_for_names(browser, "Anna")
    wait_for_text(browser, "#notice", "")
    wait_for_text(browser, "#register-message", NO_ANSWER)
