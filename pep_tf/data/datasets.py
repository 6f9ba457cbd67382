"""The data sets by their names."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pep_tf.data.clicklogs.formats import FORMATS, Format
from pep_tf.data.clicklogs.load import load_click_log
from pep_tf.data.columns import ENDINGS, is_own, load_own, name_of, own_store
from pep_tf.data.columns.stored_table import read_table_store
from pep_tf.data.dataset import CTRData
from pep_tf.data.identity import Identity
from pep_tf.data.movielens import LOADERS as MOVIELENS
from pep_tf.data.movielens import is_store
from pep_tf.data.store.manifest import read_manifest
from pep_tf.errors import DataError
from pep_tf.numbers import whole
from pep_tf.paths import resolve

PAPER = "paper"
_Loader = TypeVar("_Loader", bound=Callable[..., CTRData])


def _click_log(fmt: Format) -> Callable[..., CTRData]:
    def loader(
        *,
        data_dir: Path | None,
        features: str,
        seed: int | None,
        verify: bool = False,
        on_bad_row: str | None = None,
        hour: str | None = None,
    ) -> CTRData:
        _paper_only(fmt.name, features)
        if data_dir is None:
            raise DataError(
                f"{fmt.name} needs `data_dir`: a store that `pep-tf prepare {fmt.name}` wrote, or the "
                "raw file itself."
            )
        options = {"seed": seed, "on_bad_row": on_bad_row, "hour": hour}
        return load_click_log(fmt, data_dir, verify=verify, **options)

    return loader


def _synthetic(shape: str) -> Callable[..., CTRData]:
    def loader(
        *,
        data_dir: Path | None,
        features: str,
        seed: int | None,
        verify: bool = False,
        rows: int | None = None,
        num_features: int = 2_000_000,
    ) -> CTRData:
        from pep_tf.data.synthetic import synthetic  # here: only who asks for it waits for it
        from pep_tf.data.synthetic.store import synthetic_store

        _paper_only(f"synthetic-{shape}", features)
        seed = seed or 0
        if data_dir is not None:
            if rows is not None:
                raise DataError("A store has the rows that it has: leave `rows` out.")
            return synthetic_store(
                shape, data_dir, num_features=num_features, seed=seed, verify=verify
            )
        return synthetic(
            shape, rows=1_000_000 if rows is None else rows, num_features=num_features, seed=seed
        )

    return loader


def _paper_only(dataset: str, features: str) -> None:
    if features != PAPER:
        raise DataError(f"`features` of {dataset} must be 'paper'. Received: {features!r}")


# A new data set is one line here. A loader takes `data_dir`, `features`, `seed` and options of its
# own, `verify` among them if it reads a store; it raises DataError for whatever the user can mend.
LOADERS: dict[str, Callable[..., CTRData]] = {
    **MOVIELENS,
    **{name: _click_log(fmt) for name, fmt in FORMATS.items()},
    "synthetic-criteo": _synthetic("criteo"),
    "synthetic-avazu": _synthetic("avazu"),
}


def register(name: str) -> Callable[[_Loader], _Loader]:
    """Decorator for a loader (see `LOADERS`): `load` and the commands then know the data set by its name.

    Args:
        name: of the data set, after `--dataset=`; the `name` of what the loader returns as well.

    Raises:
        ValueError: the name of another data set.
    """

    def add(loader: _Loader) -> _Loader:
        known = LOADERS.get(name, loader)
        if known.__qualname__ != loader.__qualname__:
            raise ValueError(f"`name` must not be that of another data set. Received: {name!r}")
        LOADERS[name] = loader
        return loader

    return add


_STORED = {"criteo", "avazu", "synthetic-criteo", "synthetic-avazu"}
_FILES_OR_STORE = {"movielens", "movielens-1m"}


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
        dataset: a key of `LOADERS`, or data of your own: a Python file, or a table (see
            `pep_tf.data.columns.load_own`); or the folder of any prepared store. "movielens" is
            MovieLens-1M from `data_dir` or TFDS, else the small set; "movielens-1m" and
            "movielens-small" are those and no other.
        data_dir: folder with the files of the data set (see the loader for what else it takes);
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
    if dataset not in LOADERS:
        raise DataError(
            f"`dataset` must be one of {sorted(LOADERS)}, or a file: {', '.join(ENDINGS)}, or .py, or the "
            "folder of a store. "
            f"Received: {dataset!r}"
        )
    loader = LOADERS[dataset]
    parameters = inspect.signature(loader).parameters
    if unknown := sorted(set(options) - set(parameters)):
        raise DataError(f"{dataset} has no option {', '.join(unknown)}: leave it out.")
    path = None if data_dir is None else resolve(data_dir)
    if path is not None and not path.exists():
        raise DataError(f"`data_dir` must exist. Received: {str(path)!r}")
    if seed is None and not has_own_split(dataset, path):
        seed = 0
    if "verify" in parameters:  # what is no store is read whole each time
        options["verify"] = verify
    return loader(data_dir=path, features=features, seed=seed, **options)


def _own(dataset: str, data_dir: Any, features: Any, seed: int, options: Any) -> CTRData:
    if data_dir is not None:
        raise DataError(
            f"`data_dir` has no effect beside {dataset!r}, which is a file: leave it out."
        )
    features = None if features == PAPER else features
    if (name := name_of(dataset)) in LOADERS:
        raise DataError(f"{dataset}: must have another name than the data set {name!r}.")
    return load_own(dataset, features=features, seed=seed, **options)


def _store_of(dataset: Any) -> Path | None:
    """The store that a data set is named by, the folder of it."""
    return own_store(dataset) if isinstance(dataset, str) and dataset not in LOADERS else None


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
    data = read_table_store(folder, verify=verify)
    if seed is not None and (told := data.known.difference(Identity(split={"split seed": seed}))):
        raise DataError(f"{folder}: the store was made with {told}. Ask for what it has.")
    return data


def _reads_files(dataset: str, data_dir: Any) -> bool:
    """Whether there may be files to hash: a prepared store, or a raw file, which is read whole."""
    if data_dir is None:
        return _store_of(dataset) is not None
    return dataset in _STORED | _FILES_OR_STORE


def has_own_split(dataset: str, data_dir: str | os.PathLike[str] | None) -> bool:
    """Whether a data set comes with one split, whatever the seed: a prepared store."""
    if _store_of(dataset):
        return True
    if data_dir is None or not (path := resolve(data_dir)).is_dir():
        return False
    return dataset in _STORED or (dataset in _FILES_OR_STORE and is_store(path))
