"""Own data by the name of a file: a declaration in Python, or a table beside options."""

import inspect
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import logging

from pep_tf.data.columns.files import from_files
from pep_tf.data.columns.from_dataframe import from_dataframe
from pep_tf.data.columns.suggest import suggest_features
from pep_tf.data.columns.table_files import ending_of, paths_of, stem_of
from pep_tf.data.dataset import CTRData
from pep_tf.data.store.place import find_store
from pep_tf.errors import DataError
from pep_tf.numbers import split_list
from pep_tf.paths import resolve
from pep_tf.python_file import read_dict

DECLARATION = "DATA"
OPTIONS = ("label", "split", "weight", "drop")


def is_own(dataset: str) -> bool:
    """Whether the name of a data set is that of a file."""
    return dataset.endswith(".py") or ending_of(dataset) is not None


def name_of(dataset: str) -> str:
    """What the data set of a file is called."""
    return resolve(dataset).stem if dataset.endswith(".py") else stem_of(paths_of(dataset)[0])


def own_store(dataset: str) -> pathlib.Path | None:
    """The store in a folder, where the name of a data set is that of one."""
    folder = resolve(dataset)
    return find_store(folder) if folder.is_dir() else None


def load_own(
    dataset: str,
    *,
    features: Any,
    seed: int,
    store: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> CTRData:
    """Loads a data set by the name of a file.

    Args:
        dataset: a table, or a pattern of several (see `from_files`); or a Python file that defines
            `DATA`, a dict of the arguments of `from_files` (`files` and `store` relative to that file), or of
            `from_dataframe` with a `frame`, which may be a function that returns it.
        features: `{field: kind}`, or as text `user=vocabulary,item=hash:1000`; None for a Python file, and
            for what `suggest_features` takes of a table, which a warning tells.
        seed: of the split.
        store, overwrite: see `from_files`; of a Python file, in place of a `store` that it names.
        **options: `label`, `split`, `weight` and `drop` of a table; `drop` may be text: `rating=3,rating=0`.

    Raises:
        DataError: an option too many or missing, or what these functions refuse.
        RunError: a Python file that is missing, fails or has no such dict.
    """
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise DataError(f"{dataset} has no option {', '.join(unknown)}: leave it out.")
    given = {**options, **({} if features is None else {"features": features})}
    if not dataset.endswith(".py"):
        if "label" not in given:
            raise DataError(f"`label` must be given for {dataset}, a table of your own.")
        if "features" not in given:
            given["features"] = suggest_features(dataset, given["label"], given.get("weight"))
            logging.warning(
                "%s is read with --features='%s', by its first rows: name others if these are wrong.",
                dataset,
                given["features"],
            )
        for name in ("features", "drop"):
            if isinstance(given.get(name), str):
                given[name] = _pairs(name, given[name])
        return from_files(dataset, seed=seed, store=store, overwrite=overwrite, **given)
    if given:
        raise DataError(f"`{next(iter(given))}` stands in {dataset} itself: leave it out.")
    place = {} if store is None else {"store": store, "overwrite": overwrite}
    return _from_declaration(resolve(dataset), seed, place)


def _from_declaration(path: pathlib.Path, seed: int, place: Mapping[str, Any]) -> CTRData:
    declared = read_dict(path, DECLARATION, "dataset")
    source = {"files", "frame"} & set(declared)
    if len(source) != 1:
        raise DataError(f"{path}: {DECLARATION} must have either `files` or `frame`.")
    read = from_files if source == {"files"} else from_dataframe
    parameters = inspect.signature(read).parameters
    if unknown := sorted(set(declared) - (set(parameters) - {"seed", "name"})):
        raise DataError(f"{path}: {DECLARATION} has no use for {', '.join(unknown)}.")
    if missing := {"label", "features"} - set(declared):
        raise DataError(f"{path}: {DECLARATION} must have `{min(missing)}`.")
    if "files" in declared:
        files = declared["files"]
        files = [files] if isinstance(files, str) else files
        declared = {**declared, "files": [path.parent / file for file in files]}
    elif callable(declared["frame"]):
        declared = {**declared, "frame": declared["frame"]()}
    if "store" in declared:
        declared = {**declared, "store": path.parent / pathlib.Path(declared["store"]).expanduser()}
    if place and "frame" in declared:
        raise DataError(f"{path}: {DECLARATION} must have `files`, not a `frame`, to be stored.")
    data = read(**{**declared, **place}, seed=seed, name=path.stem)
    data.details["declaration"] = str(path)
    return data


def _pairs(name: str, text: str) -> Mapping[str, Any]:
    """`{field: kind}` of `field=kind,...`, or `{column: values}`."""
    pairs: dict[str, Any] = {}
    for item in split_list(name, text):
        key, equals, value = item.partition("=")
        if not equals or (name == "features" and key in pairs):
            kinds = "user=vocabulary,item=hash:1000, each name once"
            such_as = kinds if name == "features" else "rating=3,rating=4"
            raise DataError(
                f"`{name}` must be pairs such as {such_as}. Received: {item!r} in {text!r}"
            )
        pairs[key] = value if name == "features" else [*pairs.get(key, []), value]
    return pairs
