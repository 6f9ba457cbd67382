"""The data sets by their names."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pep_tf.data.clicklogs import load_avazu, load_criteo
from pep_tf.data.dataset import CTRData
from pep_tf.data.movielens import load_movielens, load_movielens_1m
from pep_tf.data.movielens_small import load_movielens_small
from pep_tf.data.synthetic import synthetic
from pep_tf.data.synthetic_store import synthetic_store
from pep_tf.errors import DataError


def _criteo(
    *, data_dir: Path | None, features: str, seed: int, on_bad_row: str = "error"
) -> CTRData:
    return load_criteo(_given("criteo", data_dir, features), seed=seed, on_bad_row=on_bad_row)


def _avazu(
    *,
    data_dir: Path | None,
    features: str,
    seed: int,
    on_bad_row: str = "error",
    hour: str = "raw",
) -> CTRData:
    folder = _given("avazu", data_dir, features)
    return load_avazu(folder, seed=seed, on_bad_row=on_bad_row, hour=hour)


def _synthetic(shape: str) -> Callable[..., CTRData]:
    def loader(
        *,
        data_dir: Path | None,
        features: str,
        seed: int,
        rows: int | None = None,
        num_features: int = 2_000_000,
    ) -> CTRData:
        _paper_only(f"synthetic-{shape}", features)
        if data_dir is not None:
            if rows is not None:
                raise DataError("A store has the rows that it has: leave `rows` out.")
            return synthetic_store(shape, data_dir, num_features=num_features, seed=seed)
        return synthetic(
            shape, rows=1_000_000 if rows is None else rows, num_features=num_features, seed=seed
        )

    return loader


def _given(dataset: str, data_dir: Path | None, features: str) -> Path:
    _paper_only(dataset, features)
    if data_dir is None:
        raise DataError(
            f"{dataset} needs `data_dir`: a store that data_prep.{dataset}.prepare wrote, or the raw "
            "file itself."
        )
    return data_dir


def _paper_only(dataset: str, features: str) -> None:
    if features != "paper":
        raise DataError(f"`features` of {dataset} must be 'paper'. Received: {features!r}")


# A new data set is one line here. A loader takes `data_dir`, `features`, `seed` and options of its
# own, and raises DataError for whatever the user can mend.
LOADERS: dict[str, Callable[..., CTRData]] = {
    "movielens": load_movielens,
    "movielens-1m": load_movielens_1m,
    "movielens-small": load_movielens_small,
    "criteo": _criteo,
    "avazu": _avazu,
    "synthetic-criteo": _synthetic("criteo"),
    "synthetic-avazu": _synthetic("avazu"),
}


def load(
    dataset: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    features: str = "paper",
    seed: int = 0,
    **options: Any,
) -> CTRData:
    """Loads a data set, split 80/10/10.

    Args:
        dataset: a key of `LOADERS`. "movielens" is MovieLens-1M from `data_dir` or TFDS, else the
            small set; "movielens-1m" and "movielens-small" are those and no other.
        data_dir: folder with the files of the data set (see the loader for what else it takes);
            synthetic data: none, or the store prepared from its raw text.
        features: "paper", or "with_ids" (MovieLens: user and movie ids as well).
        seed: seed of the split, 0 or more; of synthetic data also of its rows.
        **options: synthetic data: `rows`, `num_features`; raw click logs: `on_bad_row`; raw Avazu:
            `hour`.

    Returns:
        The data set; its `name` is the one really used, its `details` say where it came from.

    Raises:
        DataError: an argument is wrong, or the data set is missing, damaged or incomplete.

    Example:
        >>> data = load("movielens-small")
        >>> data.name, data.schema.num_fields, data.train.num_rows
        ('movielens-small', 5, 63952)
    """
    if dataset not in LOADERS:
        raise DataError(f"`dataset` must be one of {sorted(LOADERS)}. Received: {dataset!r}")
    if seed < 0:
        raise DataError(f"`seed` must be 0 or more. Received: {seed}")
    loader = LOADERS[dataset]
    if unknown := sorted(set(options) - set(inspect.signature(loader).parameters)):
        raise DataError(f"{dataset} has no option {', '.join(unknown)}: leave it out.")
    path = None if data_dir is None else Path(data_dir).expanduser()
    if path is not None and not path.exists():
        raise DataError(f"`data_dir` must exist. Received: {str(path)!r}")
    return loader(data_dir=path, features=features, seed=seed, **options)
