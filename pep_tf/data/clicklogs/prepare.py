"""Prepares a store from a raw file: what `pep-tf prepare criteo` and `avazu` run."""

import os
from typing import Any

from pep_tf.data.clicklogs.build import ClickLogOptions
from pep_tf.data.clicklogs.click_log import ClickLog
from pep_tf.data.clicklogs.formats import FORMATS
from pep_tf.data.store.write import write
from pep_tf.errors import DataError
from pep_tf.paths import resolve


def prepare(
    dataset: str,
    raw: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: ClickLogOptions | None = None,
    *,
    workers: int = 2,
    progress: bool = False,
    overwrite: bool = False,
    verify: bool = False,
) -> dict[str, Any]:
    """Writes the store of a raw file into `out`; see `write`.

    Args:
        dataset: `criteo` or `avazu`.
        raw: text or gzip file.
        out: folder, made when missing; it holds one store of each data set.
        options: what decides the content.
        workers: threads.
        progress: shows bars with the time left.
        overwrite: replaces the store that is there.
        verify: of a store that is there, hashes the raw file and every file of the store even where
            size, times and inode are what they were.

    Returns:
        The manifest, with the store's folder as `folder`. A store of the same content and options
        that is already there is checked and returned.

    Raises:
        DataError: bad input, a store of other content or options, another preparation running, a full
            disk.
    """
    options = options or ClickLogOptions()
    raw, out = resolve(raw), resolve(out)
    if dataset not in FORMATS:
        raise DataError(f"`dataset` must be one of {list(FORMATS)}. Received: {dataset!r}")
    log = ClickLog(raw, FORMATS[dataset], options, workers=workers, progress=progress)
    return write(log, out, store_name(dataset), overwrite=overwrite, verify=verify)


def store_name(dataset: str) -> str:
    """What the store of a data set is called; see `write`."""
    return f"{dataset} kaggle"
