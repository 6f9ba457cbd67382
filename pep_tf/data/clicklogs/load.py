"""`load_criteo` and `load_avazu`: a prepared store or a raw file as `CTRData`."""

import functools
import os
import pathlib
from typing import Any

from absl import logging

from pep_tf.data.clicklogs.build import ClickLogOptions
from pep_tf.data.clicklogs.click_log import ClickLog
from pep_tf.data.clicklogs.formats import AVAZU, CRITEO, FORMATS, Format, click_log_defaults
from pep_tf.data.clicklogs.transform import Transform
from pep_tf.data.data_set import DataSet
from pep_tf.data.dataset import CTRData
from pep_tf.data.held import held
from pep_tf.data.identity import Identity
from pep_tf.data.store.arrays import read_store, stored, with_transform
from pep_tf.data.store.deal import refuse_empty_split
from pep_tf.data.store.manifest import reading_manifest
from pep_tf.data.store.place import find_store
from pep_tf.errors import DataError
from pep_tf.paths import resolve

PathLike = str | os.PathLike[str]


def load_criteo(data_dir: PathLike, *, verify: bool = False, **options: Any) -> CTRData:
    """Criteo (Kaggle, 2014), 39 fields.

    A store has the options that it was prepared with; what is given here beside it must be the same.

    Args:
        data_dir: what `pep-tf prepare criteo` wrote, or the raw `train.txt` itself, plain or gzip, whose
            rows are then held in memory, about 170 bytes each.
        verify: hashes every file of a store, even where size, times and inode are what they were; a
            raw file is read and hashed each time.
        **options: see `ClickLogOptions`, which has the defaults for a raw file; None where they are not given.

    Raises:
        DataError: nothing there, another data set, damaged, a store with other options, or bad rows
            in a raw file.
    """
    return load_click_log(CRITEO, data_dir, verify=verify, **options)


def load_avazu(data_dir: PathLike, *, verify: bool = False, **options: Any) -> CTRData:
    """Avazu (Kaggle, 2014), 22 fields, or 23 with `hour="parts"`; see `load_criteo`."""
    return load_click_log(AVAZU, data_dir, verify=verify, **options)


def load_transform(folder: PathLike) -> Transform:
    """The transform of a prepared store: all that serving needs."""
    return Transform.load(find_store(resolve(folder)))


def load_click_log(
    fmt: Format, data_dir: PathLike, *, verify: bool = False, **options: Any
) -> CTRData:
    """As `load_criteo`, of any format."""
    path = resolve(data_dir)
    given = {name: value for name, value in options.items() if value is not None}
    if path.is_file():
        return _load_raw(fmt, path, ClickLogOptions(**given))
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder.")
    return _load_store(fmt, find_store(path), given, verify)


def _load_store(fmt: Format, folder: pathlib.Path, given: dict[str, Any], verify: bool) -> CTRData:
    data = read_store(folder, dataset=fmt.name, verify=verify)
    with reading_manifest(folder):
        made = data.details["options"]
        if given.get("encoding", made["encoding"]) != made["encoding"]:
            made = {}
        elif "buckets" in given:
            given = {**given, "buckets": {**made["buckets"], **given["buckets"]}}
        asked = stored(Identity({}, *ClickLogOptions(**{**made, **given}).parts(fmt)))
        md5 = data.details["transform_md5"]
    return with_transform(data, Transform.load(folder), md5, asked=asked)


def _load_raw(fmt: Format, path: pathlib.Path, options: ClickLogOptions) -> CTRData:
    log = ClickLog(path, fmt, options)
    needed = 2 * log.bytes_needed  # as blocks, then as arrays
    if needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise DataError(
            f"{path}: its rows take about {needed / 1e9:.1f} GB of memory, more than there is; prepare a "
            f"store of it with `pep-tf prepare {fmt.name}`."
        )
    train, validation, test = held(log.read(lambda block: block))
    refuse_empty_split([split.num_rows for split in (train, validation, test)], path)
    counts = log.counts
    if counts.bad:
        logging.warning(
            "%s: %d of %d lines are bad and left out: %s. First: line %d, %s.",
            path,
            counts.bad,
            counts.lines,
            ", ".join(f"{n} x {reason}" for reason, n in counts.bad_by_reason.items()),
            counts.examples[0].line,
            counts.examples[0].reason,
        )
    details = {
        "data_dir": str(path),
        "source": fmt.source,
        "lines": counts.to_dict(),
        "transform_md5": log.transform.fingerprint,
    }
    examples = log.examples(list(log.transform.raw_columns()))
    own = (details, log.transform, examples, log.identity())
    return CTRData(fmt.name, log.transform.schema, train, validation, test, *own)


DATA_SETS = {
    fmt.name: DataSet(
        functools.partial(load_click_log, fmt),
        needs=f"a store that `pep-tf prepare {fmt.name}` wrote, or the raw file itself",
        is_store=pathlib.Path.is_dir,
        options=("on_bad_row", "hour"),
        defaults=click_log_defaults,
    )
    for fmt in FORMATS.values()
}
