"""The site builds without a warning, has no dead link, and asks no other host for anything."""

import contextlib
import functools
import http.server
import pathlib
import re
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator

import pytest

import pep_tf
from tests.browser import DESKTOP, PHONE, chromium, opened  # noqa: F401

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def built(out: pathlib.Path) -> list[pathlib.Path]:
    """The pages of the site, built in a folder."""
    command = ["-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(out)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return sorted(out.glob("*.html"))


@contextlib.contextmanager
def served(folder: pathlib.Path) -> Iterator[str]:
    """Its address, on this machine alone."""
    serve = functools.partial(Silent, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def dead_links(page: pathlib.Path) -> list[str]:
    dead = []
    for link in re.findall(r'(?:href|src)="([^"]+)"', page.read_text(encoding="utf-8")):
        target, _, name = urllib.parse.unquote(link).partition("#")
        if re.match(r"[a-z]+:", target):
            continue  # another host, or an address of mail
        file = page if not target else page.parent / target.partition("?")[0]
        text = file.read_text(encoding="utf-8") if file.suffix == ".html" else ""
        named = name in ("", "top") or not text or f'id="{name}"' in text
        if not (file.exists() and named):
            dead.append(f"{page.name}: {link}")
    return dead


def test_the_site(chromium, tmp_path):  # noqa: F811
    pytest.importorskip("furo", reason="pip install -r requirements-docs.txt")
    pages = built(tmp_path)
    assert len(pages) > 10
    assert not [link for page in pages for link in dead_links(page)]
    reference = (tmp_path / "api.html").read_text(encoding="utf-8")
    names = set(pep_tf.__all__) - {"data", "layers", "models"}
    assert not [name for name in names if f'id="pep_tf.{name}"' not in reference]
    with served(tmp_path) as site:
        for size, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
            with opened(chromium, site, size, scheme, site=site) as (shown, misdeeds):
                for page in pages:  # in one window: a new one each takes longer than its page
                    shown.goto(site + page.name)
                    wide = shown.evaluate("document.documentElement.scrollWidth")
                    assert (misdeeds, wide <= size[0]) == ([], True), (page.name, size)
