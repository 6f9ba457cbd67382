"""The site builds without a warning, has no dead link, and asks no other host for anything."""

import functools
import http.server
import pathlib
import re
import subprocess
import sys
import threading
import urllib.parse

import pytest

import pep_tf
from tests.browser import DESKTOP, PHONE, chromium, opened  # noqa: F401

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIDE_OR_NARROW = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The built site."""
    pytest.importorskip("furo", reason="pip install -r requirements-docs.txt")
    out = tmp_path_factory.mktemp("site")
    command = ["-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(out)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def site(folder):
    """Its address, served on this machine alone."""
    serve = functools.partial(Silent, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def links(page: pathlib.Path) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]+)"', page.read_text(encoding="utf-8"))


def test_no_link_is_dead(folder):
    pages = sorted(folder.glob("*.html"))
    assert len(pages) > 10
    dead = []
    for page in pages:
        for link in links(page):
            target, _, name = urllib.parse.unquote(link).partition("#")
            if re.match(r"[a-z]+:", target):
                continue  # another host, or an address of mail
            file = page if not target else page.parent / target.partition("?")[0]
            text = file.read_text(encoding="utf-8") if file.suffix == ".html" else ""
            if not file.exists() or (name and text and f'id="{name}"' not in text):
                dead.append(f"{page.name}: {link}")
    assert not [link for link in dead if not link.endswith(("#", "#top"))]


@WIDE_OR_NARROW
def test_pages_ask_no_other_host_and_fit_the_screen(chromium, folder, site, size):  # noqa: F811
    for page in sorted(folder.glob("*.html")):
        scheme = "dark" if size == PHONE else "light"
        with opened(chromium, site + page.name, size, scheme, site=site) as (shown, misdeeds):
            assert not misdeeds, page.name
            wide = shown.evaluate("document.documentElement.scrollWidth")
            assert wide <= size[0], page.name


def test_what_is_public_is_in_the_reference(folder):
    text = (folder / "api.html").read_text(encoding="utf-8")
    names = set(pep_tf.__all__) - {"data", "layers", "models"}
    assert not [name for name in names if f'id="pep_tf.{name}"' not in text]
