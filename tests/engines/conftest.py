"""Fixtures: each engine with a browser of its own for every test, and Roster behind a real port."""

import os
import subprocess
import warnings
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.remote.webdriver import WebDriver

from tests.engines.faulty_proxy import FaultyProxy
from tests.helpers import StartServer
from tools.engines import find_geckodriver, find_minibrowser, find_program


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """The name of a display in memory: WebKit has no headless mode."""
    reading, writing = os.pipe()
    command = [find_program("Xvfb"), "-displayfd", str(writing), "-screen", "0", "1280x1024x24"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        with os.fdopen(reading) as numbers:
            yield f":{numbers.readline().strip()}"
        process.terminate()


def start_firefox(*, javascript: bool = True) -> WebDriver:
    options = webdriver.FirefoxOptions()
    options.binary_location = find_program("firefox-esr")
    options.add_argument("-headless")
    options.set_preference("javascript.enabled", javascript)
    return webdriver.Firefox(options, webdriver.FirefoxService(find_geckodriver()))


def start_webkit(display: str, *, javascript: bool = True) -> WebDriver:
    options = webdriver.WebKitGTKOptions()
    options.binary_location = find_minibrowser()
    options.add_argument("--automation")
    if not javascript:
        options.add_argument("--enable-javascript=false")
    # Without compositing it needs no graphics driver.
    environment = os.environ | {"DISPLAY": display, "WEBKIT_DISABLE_COMPOSITING_MODE": "1"}
    service = webdriver.WebKitGTKService(find_program("WebKitWebDriver"), env=environment)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Selenium itself uses what it has deprecated
        return webdriver.WebKitGTK(options, service)


@pytest.fixture(params=["Firefox", "WebKit"])
def browser(request: pytest.FixtureRequest) -> Iterator[WebDriver]:
    """A browser of each engine; a test with the mark `no_javascript` gets one without scripts."""
    javascript = request.node.get_closest_marker("no_javascript") is None
    if request.param == "Firefox":
        browser = start_firefox(javascript=javascript)
    else:
        browser = start_webkit(request.getfixturevalue("display"), javascript=javascript)
    yield browser
    browser.quit()


@pytest.fixture
def url(serve: StartServer, database_url: str) -> str:
    return serve(DATABASE_URL=database_url).url


@pytest.fixture
def proxy(url: str) -> Iterator[FaultyProxy]:
    """A proxy in front of Roster, which gives bad answers to `/live` when it is told to."""
    with FaultyProxy(url) as proxy, proxy.running():
        yield proxy
