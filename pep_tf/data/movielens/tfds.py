"""MovieLens-1M from TensorFlow Datasets: `movielens/1m-ratings`, prepared before or downloaded now.

A prepared copy holds each rating joined with its user and movie: the same information, but:

- its rows are shuffled, by the md5 of each row's number in `ratings.dat`. That shuffle is undone
  here, so that ids, splits and their md5 are exactly those of the original files;
- it writes "Children" for the genre "Children's", and the occupation as text; both are mapped back.

Where no copy is prepared, TFDS's download manager fetches the archive (and checks its sha256), and
the original files in it are read directly: TFDS would take minutes to prepare a copy of what is
read in seconds.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from absl import logging

from pep_tf.data.movielens.forms import ONE_MILLION
from pep_tf.errors import DataError
from pep_tf.notices import told_from

NAME = "movielens/1m-ratings"
_PROBE_SECONDS = 5  # without a network TFDS's own retries take minutes to give up
_BATCH = 8192
# In the order of the numbers that users.dat has for them (ml-1m-README.txt).
_OCCUPATIONS = (
    "other/not specified",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)


def _genres(names: bytes) -> str:
    genres = names.decode().split("|")
    return "|".join("Children's" if genre == "Children" else genre for genre in genres)


# Each column by that of TFDS, and what it makes of a value.
_COLUMNS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "user": ("user_id", int),
    "movie": ("movie_id", int),
    "rating": ("user_rating", int),
    "timestamp": ("timestamp", int),
    "gender": ("user_gender", lambda male: "M" if male else "F"),
    "age": ("bucketized_user_age", int),
    "occupation": ("user_occupation_text", lambda text: _OCCUPATIONS.index(text.decode())),
    "zip": ("user_zip_code", bytes.decode),
    "year": ("movie_title", lambda title: int(title.decode().rstrip()[-5:-1])),
    "genres": ("movie_genres", _genres),
}


def read_tfds(tfds_dir: Path | None = None) -> tuple[pd.DataFrame, str]:
    """Reads the copy of TFDS, downloading it when it is not there.

    Args:
        tfds_dir: TFDS's data folder; None is TFDS's default (`TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`).

    Returns:
        The table that `Form.read` returns, row for row, and where it came from.

    Raises:
        DataError: there is no copy and none can be downloaded, or it is damaged or incomplete.
    """
    try:
        import tensorflow_datasets as tfds  # here: only this reader needs it

        with told_from(logging.ERROR):
            builder = tfds.builder(NAME, data_dir=tfds_dir)
            prepared = builder.is_prepared()
        if prepared:
            source = f"TFDS copy {builder.data_path}"
            frame = read_prepared(builder)
        else:
            folder = _download(builder)
            source = f"TFDS download {folder}"
            frame, _ = ONE_MILLION.read(folder)
    except DataError:
        raise
    except Exception as error:  # whatever TFDS, the network or the disk may raise
        raise DataError(f"TFDS {NAME} cannot be had: {_one_line(error)}") from error
    ONE_MILLION.check_rows(frame, source)
    return frame, source


def read_prepared(builder: Any) -> pd.DataFrame:
    """Reads a prepared `tfds.core.DatasetBuilder` in the row order of `ratings.dat`.

    Raises:
        DataError: the format, an occupation or the row order is not the one expected.
    """
    columns = _read_columns(builder)
    order = file_order(len(columns["user_id"]))
    columns = {name: values[order] for name, values in columns.items()}
    if (np.diff(columns["user_id"].astype(np.int64)) < 0).any():  # as they are in ratings.dat
        raise DataError(
            f"{builder.data_path} must be shuffled as TFDS does it, or the rows of ratings.dat "
            "cannot be put back in order. Received: another order; give the original files with "
            "`data_dir`"
        )
    frame = {}
    for name, (column, read) in _COLUMNS.items():
        values, rows = np.unique(columns[column], return_inverse=True)
        own = pd.Series([read(value) for value in values])
        own = own if own.dtype == np.int64 else own.astype("category")
        frame[name] = own.take(rows).reset_index(drop=True)
    return pd.DataFrame(frame)


def file_order(num_rows: int) -> np.ndarray:
    """Where TFDS put each row: int64 [n], the stored position of row 0, 1, ... of `ratings.dat`.

    TFDS sorts the rows of a split by md5(split name + key); the key is the row number
    (`tensorflow_datasets/core/hashing.py`, `shuffle.py`, version 4.9.10).
    """
    salted = hashlib.md5(b"train")
    digests = []
    for key in range(num_rows):
        digest = salted.copy()
        digest.update(b"%d" % key)
        digests.append(digest.digest())
    high, low = np.frombuffer(b"".join(digests), ">u8").reshape(num_rows, 2).T
    stored_rows = np.lexsort((low, high))
    positions = np.empty(num_rows, np.int64)
    positions[stored_rows] = np.arange(num_rows)
    return positions


def _read_columns(builder: Any) -> dict[str, np.ndarray]:
    """All rows, in stored order, by feature; parsed in batches, unlike TFDS's slow own reader."""
    if builder.info.file_format.value != "tfrecord":
        raise DataError(
            f"{builder.data_path} must be in TFDS's format 'tfrecord'. "
            f"Received: {builder.info.file_format.value!r}"
        )
    spec = {
        name: tf.io.RaggedFeature(tf.int64) if name == "movie_genres" else feature
        for name, feature in builder.info.features.tf_example_spec.items()
        if name in dict(_COLUMNS.values())
    }
    records = tf.data.TFRecordDataset([str(p) for p in builder.info.splits["train"].filepaths])
    genres = builder.info.features["movie_genres"].feature.names

    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = tf.io.parse_example(serialized, spec)
        names = tf.ragged.map_flat_values(lambda ids: tf.gather(genres, ids), batch["movie_genres"])
        joined = tf.strings.reduce_join(names, axis=1, separator="|")
        return {**batch, "movie_genres": joined}

    batches = list(records.batch(_BATCH).map(parse, 2).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in batches]) for name in spec}


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
