"""MovieLens-1M by TensorFlow Datasets: its download manager fetches the archive, and checks its sha256.

The original files in it are read directly: TFDS would take minutes to prepare a copy of what is read in
seconds, and shuffle it.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from absl import logging

from pep_tf.data.movielens.forms import ONE_MILLION
from pep_tf.errors import DataError
from pep_tf.notices import told_from

NAME = "movielens/1m-ratings"
_PROBE_SECONDS = 5  # without a network TFDS's own retries take minutes to give up


def read_tfds(tfds_dir: Path | None = None) -> tuple[pd.DataFrame, str]:
    """Reads the files that TFDS downloads, or has downloaded before.

    Args:
        tfds_dir: TFDS's data folder; None is TFDS's default (`TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`).

    Returns:
        The table that `Form.read` returns, and where it came from.

    Raises:
        DataError: they are not there and cannot be downloaded, or are damaged or incomplete.
    """
    try:
        import tensorflow_datasets as tfds  # here: only this reader needs it

        with told_from(logging.ERROR):
            builder = tfds.builder(NAME, data_dir=tfds_dir)
        folder = _download(builder)
        frame, _ = ONE_MILLION.read(folder)
    except DataError:
        raise
    except Exception as error:  # whatever TFDS, the network or the disk may raise
        raise DataError(f"TFDS {NAME} cannot be had: {_one_line(error)}") from error
    source = f"TFDS download {folder}"
    ONE_MILLION.check_rows(frame, source)
    return frame, source


def _download(builder: Any) -> Path:
    """The folder of the original files, downloaded by TFDS now or earlier."""
    import requests  # TFDS depends on it
    import tensorflow_datasets as tfds

    url = builder.builder_config.download_url
    downloads = Path(builder.data_dir).parents[2] / "downloads"
    if not any((downloads / "movielens").glob("*ml-1m*.zip")):
        try:
            answer = requests.head(url, timeout=_PROBE_SECONDS, allow_redirects=True)
            answer.raise_for_status()
        except requests.HTTPError as error:
            raise DataError(f"{url} cannot be downloaded: {_one_line(error)}") from error
        except requests.RequestException as error:
            raise DataError(f"{url} cannot be reached: {type(error).__name__}") from error
    manager = tfds.download.DownloadManager(
        download_dir=downloads,
        dataset_name="movielens",
        url_infos=builder.url_infos,
        force_checksums_validation=True,
    )
    return Path(manager.download_and_extract(url)) / "ml-1m"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}{'...' if len(text) > 160 else ''}"
