"""Opens a page in headless Chromium and tells what it did."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's chromium; the tests that need it skip where there is none."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(
    browser: Browser,
    path: pathlib.Path | str,
    size: tuple[int, int] = DESKTOP,
    scheme: str = "light",
    site: str | None = None,
) -> Iterator[tuple[Page, list[str]]]:
    """The open page, a file or an address, and a growing list of what it should not have done.

    It may ask for addresses that begin with `site`; without one for none but its own.
    """
    address = path if isinstance(path, str) else path.as_uri()
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    misdeeds: list[str] = []
    page.on("console", lambda message: misdeeds.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: misdeeds.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (misdeeds.append("dialog"), dialog.dismiss()))

    def note(request):
        own = request.url == address if site is None else request.url.startswith(site)
        if not own and not request.url.startswith("data:"):
            misdeeds.append(f"request: {request.url}")

    page.on("request", note)
    page.goto(address)
    try:
        yield page, misdeeds
    finally:
        page.close()
