"""The data sets by their names."""

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pep_tf.data.clicklogs.formats import click_log_defaults
from pep_tf.data.clicklogs.load import DATA_SETS as CLICK_LOGS
from pep_tf.data.columns import ENDINGS, is_own, load_own, name_of, own_store
from pep_tf.data.columns.stored_table import read_table_store
from pep_tf.data.data_set import DataSet
from pep_tf.data.dataset import CTRData
from pep_tf.data.identity import Identity
from pep_tf.data.movielens import DATA_SETS as MOVIELENS
from pep_tf.data.store.manifest import read_manifest
from pep_tf.errors import DataError
from pep_tf.numbers import whole
from pep_tf.paths import resolve
from pep_tf.registry import registering

PAPER = "paper"
_Loader = TypeVar("_Loader", bound=Callable[..., CTRData])


def _synthetic(
    *,
    shape: str,
    data_dir: Path | None,
    seed: int | None,
    verify: bool = False,
    rows: int | None = None,
    num_features: int = 2_000_000,
) -> CTRData:
    from pep_tf.data.synthetic import synthetic  # here: only who asks for it waits for it
    from pep_tf.data.synthetic.store import synthetic_store

    seed = seed or 0
    if data_dir is None:
        rows = 1_000_000 if rows is None else rows
        return synthetic(shape, rows=rows, num_features=num_features, seed=seed)
    if rows is not None:
        raise DataError("A store has the rows that it has: leave `rows` out.")
    return synthetic_store(shape, data_dir, num_features=num_features, seed=seed, verify=verify)


DATA_SETS: dict[str, DataSet] = {
    **MOVIELENS,
    **CLICK_LOGS,
    **{
        f"synthetic-{shape}": DataSet(
            functools.partial(_synthetic, shape=shape),
            is_store=Path.is_dir,
            options=("rows", "num_features"),
            defaults=click_log_defaults,
        )
        for shape in CLICK_LOGS
    },
}


def register(name: str) -> Callable[[_Loader], _Loader]:
    """Decorator for a loader: `load` and the commands then know the data set by its name.

    The loader takes `data_dir`, `features`, `seed` and options of its own.

    Args:
        name: of the data set, after `--dataset=`; the `name` of what the loader returns as well.

    Raises:
        ValueError: the name of another data set.
    """

    def entry(loader: _Loader) -> DataSet:
        given = {"data_dir", "features", "seed", "verify"}
        options = tuple(p for p in inspect.signature(loader).parameters if p not in given)
        return DataSet(loader, features=None, options=options)

    return registering(name, "data set", DATA_SETS, entry, lambda data_set: data_set.load)


def load(
    dataset: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    features: Any = PAPER,
    seed: int | None = None,
    verify: bool = False,
    **options: Any,
) -> CTRData:
    """Loads a data set, split 80/10/10.

    Args:
        dataset: a key of `DATA_SETS`, or data of your own: a Python file, or a table (see
            `pep_tf.data.columns.load_own`); or the folder of any prepared store. "movielens" is
            MovieLens-1M from `data_dir` or TFDS, else the small set; "movielens-1m" and
            "movielens-small" are those and no other.
        data_dir: folder with the files of the data set (or what else its declaration has);
            synthetic data: none, or the store prepared from its raw text.
        features: "paper", or "with_ids" (MovieLens: user and movie ids as well); of a table
            `{field: kind}`, see `from_dataframe`.
        seed: seed of the split, 0 or more, 0 unless given; of synthetic data also of its rows. A
            prepared store has a split already: another seed is refused.
        verify: hashes every file of a prepared store, even where size, times and inode are what they
            were when that was last done.
        **options: synthetic data: `rows`, `num_features`; raw click logs: `on_bad_row`; raw Avazu:
            `hour`; a table: `label`, `split`, `weight`, `drop`, `store`, `overwrite`.

    Returns:
        The data set; its `name` is the one really used, its `details` say where it came from.

    Raises:
        DataError: an argument is wrong, or the data set is missing, damaged or incomplete.

    Example:
        >>> data = load("movielens-small")
        >>> data.name, data.schema.num_fields, data.train.num_rows
        ('movielens-small', 5, 63952)
    """
    if seed is not None:
        seed = whole("seed", seed, least=0)
    if verify and not _reads_files(dataset, data_dir):
        raise DataError(
            f"`verify` has no effect without a prepared store of {dataset}: leave it out."
        )
    if isinstance(dataset, str) and is_own(dataset):
        return _own(dataset, data_dir, features, seed or 0, options)
    if folder := _store_of(dataset):
        return _stored(folder, data_dir, features, seed, verify, options)
    if dataset not in DATA_SETS:
        raise DataError(
            f"`dataset` must be one of {sorted(DATA_SETS)}, or a file: {', '.join(ENDINGS)}, or .py, or the "
            "folder of a store. "
            f"Received: {dataset!r}"
        )
    found = DATA_SETS[dataset]
    if unknown := sorted(set(options) - set(found.options)):
        raise DataError(f"{dataset} has no option {', '.join(unknown)}: leave it out.")
    if found.features and features not in found.features:
        known = list(found.features)
        raise DataError(f"`features` of {dataset} must be one of {known}. Received: {features!r}")
    path = None if data_dir is None else resolve(data_dir)
    if path is None and found.needs:
        raise DataError(f"{dataset} needs `data_dir`: {found.needs}.")
    if path is not None and not path.exists():
        raise DataError(f"`data_dir` must exist. Received: {str(path)!r}")
    if seed is None and not has_own_split(dataset, path):
        seed = 0
    if found.features is None or len(found.features) > 1:
        options["features"] = features
    if found.is_store:  # what is no store is read whole each time
        options["verify"] = verify
    return found.load(data_dir=path, seed=seed, **options)


def _own(dataset: str, data_dir: Any, features: Any, seed: int, options: Any) -> CTRData:
    if data_dir is not None:
        raise DataError(
            f"`data_dir` has no effect beside {dataset!r}, which is a file: leave it out."
        )
    features = None if features == PAPER else features
    if (name := name_of(dataset)) in DATA_SETS:
        raise DataError(f"{dataset}: must have another name than the data set {name!r}.")
    return load_own(dataset, features=features, seed=seed, **options)


def _store_of(dataset: Any) -> Path | None:
    """The store that a data set is named by, the folder of it."""
    return own_store(dataset) if isinstance(dataset, str) and dataset not in DATA_SETS else None


def _stored(
    folder: Path, data_dir: Any, features: Any, seed: int | None, verify: bool, options: Any
) -> CTRData:
    given = {"data_dir": data_dir, "features": None if features == PAPER else features, **options}
    if extra := sorted(name for name, value in given.items() if value is not None):
        raise DataError(f"{folder}: `{extra[0]}` stands in the store itself: leave it out.")
    manifest = read_manifest(folder)
    if "declaration" not in manifest:
        options = {"features": manifest.get("details", {}).get("features", PAPER)}
        return load(manifest["dataset"], data_dir=folder, seed=seed, verify=verify, **options)
    split = {} if seed is None else {"split seed": seed}
    return read_table_store(folder, verify=verify, asked=Identity(split=split))


def _reads_files(dataset: str, data_dir: Any) -> bool:
    """Whether there may be files to hash: a prepared store, or a raw file, which is read whole."""
    if data_dir is None:
        return _store_of(dataset) is not None
    return dataset in DATA_SETS and DATA_SETS[dataset].is_store is not None


def has_own_split(dataset: str, data_dir: str | os.PathLike[str] | None) -> bool:
    """Whether a data set comes with one split, whatever the seed: a prepared store."""
    if _store_of(dataset):
        return True
    if data_dir is None or not (path := resolve(data_dir)).is_dir():
        return False
    found = DATA_SETS.get(dataset)
    return bool(found and found.is_store and found.is_store(path))
