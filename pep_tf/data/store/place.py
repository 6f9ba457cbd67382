"""The folder that a store is written to: locked, and given its name only when it is complete."""

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Iterator

import tensorflow as tf

from pep_tf.data.identity import Identity
from pep_tf.data.store.manifest import FILE
from pep_tf.errors import DataError
from pep_tf.files import lock

_UNFINISHED = ".unfinished"
_REPLACED = "replaced"  # in `_UNFINISHED`: the earlier store, while the new one takes its place


@contextlib.contextmanager
def writing_to(out: pathlib.Path, bytes_needed: int) -> Iterator[pathlib.Path]:
    """Locks `out`, checks the room, clears what a killed run left; and clears up after a failure.

    Returns:
        The folder to write an unfinished store to, which `publish` then gives its name.

    Raises:
        DataError: a folder that cannot be written to, another preparation there, too little room.
    """
    try:
        held = lock(out)
    except BlockingIOError as error:
        raise DataError(f"{out}: another preparation is writing there.") from error
    except OSError as error:
        raise DataError(f"{out}: cannot be written to ({error.strerror}).") from error
    with held:
        _clear(out)
        if (free := shutil.disk_usage(out).free) < bytes_needed:
            raise DataError(
                f"{out}: needs about {bytes_needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free."
            )
        try:
            yield out / _UNFINISHED
        except Exception as error:
            if _is_disk_full(error):
                raise DataError(
                    f"{out}: the disk is full; the {free / 1e9:.1f} GB that were free at the start did "
                    "not suffice. What was there before is unchanged."
                ) from error
            raise
        finally:
            _clear(out)


def _is_disk_full(error: BaseException | None) -> bool:
    while error is not None:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        # TensorFlow's writer of records reports a full disk in its own way.
        if full or isinstance(error, tf.errors.ResourceExhaustedError):
            return True
        error = error.__cause__ or error.__context__
    return False


def publish(store: pathlib.Path) -> pathlib.Path:
    """Puts the complete store that was written under `store.name` in its place; returns its folder."""
    new = store.parent / _UNFINISHED / store.name
    if store.exists():
        earlier = new.parent / _REPLACED
        earlier.mkdir()
        os.replace(store, earlier / store.name)
    os.replace(new, store)
    return next(store.glob(f"**/{FILE}")).parent


def published(store: pathlib.Path) -> pathlib.Path | None:
    """The folder with the manifest of the store in place, None where there is none."""
    found = next(iter(store.glob(f"**/{FILE}")), None)
    return None if found is None else found.parent


def find_store(data_dir: pathlib.Path) -> pathlib.Path:
    """The one store in a folder: the folder itself, or below it as TFDS lays it out.

    Raises:
        DataError: none, or several.
    """
    found = stores_in(data_dir)
    if not found:
        raise DataError(
            f"{data_dir}: holds no prepared store (no {FILE}); "
            "prepare one, or give the raw file itself."
        )
    if len(found) > 1:
        raise DataError(f"{data_dir}: holds several stores, name one of {[str(p) for p in found]}")
    return found[0]


def stores_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The stores in a folder: the folder itself, or those below it that are complete."""
    if (folder / FILE).is_file():
        return [folder]
    return [
        p.parent
        for p in sorted(folder.glob("**/" + FILE))
        if not any("incomplete." in part or part == ".unfinished" for part in p.parts)
    ]


def refuse_other(folder: pathlib.Path, known: Identity, asked: Identity) -> None:
    """Raises DataError if the store in place is not the one asked for."""
    if told := known.difference(asked):
        raise DataError(
            f"{folder}: holds another store: {told}. "
            "Name another --out, or replace it with --overwrite."
        )


def _clear(out: pathlib.Path) -> None:
    """Removes what is unfinished; a store that was about to be replaced takes its place again."""
    for earlier in (out / _UNFINISHED / _REPLACED).glob("*"):
        if not (out / earlier.name).exists():
            os.replace(earlier, out / earlier.name)
    shutil.rmtree(out / _UNFINISHED, ignore_errors=True)
