import functools
import hashlib
import http.server
import threading
import types
import zipfile

import pandas as pd
import pytest
import requests
import tensorflow_datasets as tfds

from pep_tf.data import load
from pep_tf.data.movielens import load as movielens
from pep_tf.data.movielens.forms import ONE_MILLION, Form
from pep_tf.data.movielens.tfds import read_tfds
from pep_tf.errors import DataError


@pytest.fixture
def any_size(monkeypatch):
    monkeypatch.setattr(Form, "check_rows", lambda form, frame, source: None)


@pytest.fixture
def no_network(monkeypatch):
    """Requests fail at once; the list tells what was tried."""
    tried = []

    def refuse(url, **options):
        tried.append((url, options))
        raise requests.ConnectionError("Name or service not known")

    monkeypatch.setattr(requests, "head", refuse)
    return tried


def test_without_copy_and_network_it_gives_up_at_once(no_network, tmp_path, monkeypatch):
    monkeypatch.setattr(
        tfds.download, "DownloadManager", lambda **_: pytest.fail("would retry for minutes")
    )
    message = r"^https://files.grouplens.org/.*ml-1m.zip cannot be reached: ConnectionError$"
    with pytest.raises(DataError, match=message):
        read_tfds(tmp_path)
    [(url, options)] = no_network
    assert options["timeout"] <= 10


def test_without_copy_and_network_movielens_is_the_small_set(no_network, tmp_path, monkeypatch):
    monkeypatch.setattr(movielens, "read_tfds", functools.partial(read_tfds, tmp_path))
    data = load("movielens")
    assert data.name == "movielens-small"
    assert "cannot be reached: ConnectionError" in data.details["fallback"]
    with pytest.raises(DataError, match="cannot be reached: ConnectionError"):
        load("movielens-1m")


@pytest.fixture
def server(folder, tmp_path):
    """Serves ml-1m.zip; yields its address and the requests that came."""
    (tmp_path / "served").mkdir()
    with zipfile.ZipFile(tmp_path / "served" / "ml-1m.zip", "w") as archive:
        for name in ("ratings.dat", "users.dat", "movies.dat"):
            archive.write(folder / name, f"ml-1m/{name}")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "served"))

        def log_message(self, *args):
            asked.append(self.command)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http_server.server_port}", asked
        http_server.shutdown()


def builder_of(url, root, archive):
    """As much of a builder as a download needs, with the checksum of `archive`."""
    data = archive.read_bytes()
    info = tfds.download.checksums.UrlInfo(len(data), hashlib.sha256(data).hexdigest(), "ml-1m.zip")
    return types.SimpleNamespace(
        builder_config=types.SimpleNamespace(download_url=url),
        data_dir=str(root / "movielens" / "1m-ratings" / "0.1.1"),
        url_infos={url: info},
    )


def test_downloads_once_and_reads_the_original_files(
    server, folder, tmp_path, any_size, monkeypatch
):
    address, asked = server
    archive = tmp_path / "served" / "ml-1m.zip"
    fake = builder_of(f"{address}/ml-1m.zip", tmp_path / "tfds", archive)
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: fake)
    expected, _ = ONE_MILLION.read(folder)
    frame, source = read_tfds()
    assert asked == ["HEAD", "GET"]
    assert source.startswith(f"TFDS download {tmp_path / 'tfds' / 'downloads'}")
    pd.testing.assert_frame_equal(frame, expected)
    read_tfds()
    assert asked == ["HEAD", "GET"]


def test_a_download_with_another_checksum_is_refused(server, folder, tmp_path, monkeypatch):
    address, _ = server
    fake = builder_of(f"{address}/ml-1m.zip", tmp_path / "tfds", folder / "users.dat")
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: fake)
    with pytest.raises(DataError, match="cannot be had: NonMatchingChecksumError"):
        read_tfds()


def test_an_answer_other_than_the_file_is_reported(server, folder, tmp_path, monkeypatch):
    address, asked = server
    fake = builder_of(f"{address}/gone.zip", tmp_path / "tfds", folder / "users.dat")
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: fake)
    with pytest.raises(DataError, match="gone.zip cannot be downloaded: HTTPError: 404"):
        read_tfds()
    assert "GET" not in asked
