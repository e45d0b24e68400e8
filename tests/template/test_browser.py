"""People use the service in a browser: Chromium, gunicorn with TLS, and production settings."""

import os
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import (
    text_to_be_present_in_element,
    url_to_be,
)
from selenium.webdriver.support.wait import WebDriverWait

from baking.combinations import ROOT, Combination
from baking.project import Project
from connection_slots.testing.server import free_port, wait_for
from devdb import Cluster
from tests.template.conftest import Install

WSGI = Combination("gthread", "psycopg2", "5.2", "web")
ASGI = Combination("asgi", "psycopg", "6.1", "web")
USER, PASSWORD = "ada", "correct horse battery staple"
SCREENSHOT = ROOT / "docs" / "results" / "notes.png"
DEADLINE = 30  # seconds

UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER),
    reason="Chromium is missing: install the packages chromium and chromium-driver",
)


@pytest.fixture
def browser() -> Iterator[Chrome]:
    """Return a headless Chromium that accepts the certificate of the test."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.accept_insecure_certs = True
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("--headless=new", "--no-sandbox", "--window-size=900,640"):
        options.add_argument(argument)
    driver = Chrome(options, Service(CHROMEDRIVER))
    driver.implicitly_wait(10)
    driver.set_page_load_timeout(DEADLINE)
    yield driver
    driver.quit()


@pytest.fixture(params=[WSGI, ASGI], ids=str)
def site(request: pytest.FixtureRequest, install: Install, tmp_path: Path) -> Iterator[str]:
    """Serve a project as in production, with one user, and return its address."""
    project = install(request.param)
    certificate = self_signed(tmp_path)
    with Cluster(tmp_path / "database", name="browser", throw_away=True) as cluster:
        environment = {
            "ALLOWED_HOSTS": "localhost",
            "DATABASE_URL": cluster.url,
            "DJANGO_SUPERUSER_EMAIL": "ada@example.org",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "DJANGO_SUPERUSER_USERNAME": USER,
            "ENV_FILE": "",
            "SECRET_KEY": "for-tests-only-0123456789-0123456789-0123456789-0123456789",
        }
        for command in ("migrate", "collectstatic --no-input", "createsuperuser --no-input"):
            project.run("uv", "run", "python", "manage.py", *command.split(), **environment)
        with serving(project, certificate, environment) as address:
            yield address


@contextmanager
def serving(project: Project, certificate: list[str], environment: dict[str, str]) -> Iterator[str]:
    """Run gunicorn with TLS for the block, and yield its address."""
    port = free_port()
    process = subprocess.Popen(
        [project.directory / ".venv" / "bin" / "gunicorn", *certificate],
        cwd=project.directory,
        env={"PATH": os.environ["PATH"], "PORT": str(port), **environment},
    )
    address = f"https://localhost:{port}"
    try:
        wait_for(lambda: is_ready(address, process), "gunicorn to serve", DEADLINE)
        yield address
    finally:
        process.terminate()
        process.wait(DEADLINE)


def is_ready(address: str, process: subprocess.Popen[bytes]) -> bool:
    """Return True if the service answers. Raises AssertionError if it has ended."""
    assert process.poll() is None
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5, context=UNVERIFIED):  # noqa: S310
            return True
    except OSError:
        return False


def self_signed(directory: Path) -> list[str]:
    """Return the options of gunicorn for a certificate of localhost, made in `directory`."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return ["--certfile", str(certificate), "--keyfile", str(key)]


def submit(browser: Chrome, **fields: str) -> None:
    """Fill the form of the page in and send it."""
    for name, value in fields.items():
        browser.find_element(By.NAME, name).send_keys(value)
    browser.find_element(By.CSS_SELECTOR, "main button, #login-form [type=submit]").click()


def test_user_signs_in_and_adds_a_note(
    site: str, browser: Chrome, pytestconfig: pytest.Config
) -> None:
    browser.get(site)
    browser.find_element(By.LINK_TEXT, "Notes").click()
    submit(browser, username=USER, password=PASSWORD)
    wait = WebDriverWait(browser, DEADLINE)
    wait.until(url_to_be(f"{site}/notes/"))
    submit(browser, text="The first note of this service")
    # A click may return before the browser leaves a page that has the same element.
    note = By.CSS_SELECTOR, "main li"
    wait.until(text_to_be_present_in_element(note, "The first note of this service"))
    assert_styles_are_loaded(browser)
    if pytestconfig.getoption("--write-docs"):
        browser.save_screenshot(str(SCREENSHOT))

    browser.find_element(By.LINK_TEXT, "Admin").click()
    wait.until(text_to_be_present_in_element((By.ID, "content"), "Site administration"))
    assert_styles_are_loaded(browser)
    browser.find_element(By.LINK_TEXT, "Notes").click()
    assert "The first note" in browser.find_element(By.ID, "result_list").text

    browser.get(site)
    browser.find_element(By.XPATH, "//button[text()='Sign out']").click()
    assert browser.find_element(By.LINK_TEXT, "Sign in")
    assert [each for each in browser_log(browser) if each["level"] == "SEVERE"] == []


def browser_log(browser: Chrome) -> list[dict[str, Any]]:
    """Return what the browser has noted: a blocked script or style, a file that is missing.

    The admin's pages name no icon, so the browser looks for one in vain.
    """
    noted = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [each for each in noted if "/favicon.ico" not in each["message"]]


def assert_styles_are_loaded(browser: Chrome) -> None:
    sheets = browser.execute_script(
        "return [...document.styleSheets].map(sheet => [sheet.href, sheet.cssRules.length])"
    )
    assert sheets
    for address, rules in sheets:
        assert rules > 0, address
        assert len(address.rsplit(".", 2)[1]) == 12, f"{address} has no hash"
