"""Prepares a store from a raw file: what `python -m data_prep.<data set>.prepare` runs."""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from pep_tf.data.clicklogs.build import Options, estimate_rows
from pep_tf.data.clicklogs.builders import BUILDERS, content_of, new_builder
from pep_tf.data.clicklogs.formats import FORMATS
from pep_tf.data.clicklogs.manifest import FILE, read_manifest
from pep_tf.data.clicklogs.process import RawFile
from pep_tf.data.clicklogs.quiet import quiet
from pep_tf.errors import DataError

_UNFINISHED = ".unfinished"
_REPLACED = "replaced"  # in `_UNFINISHED`: the earlier store, while the new one takes its place
_LOCK = ".lock"


def prepare(
    dataset: str,
    raw: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: Options | None = None,
    *,
    workers: int = 2,
    progress: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes the store of a raw file into `out`.

    Everything is written under `out/.unfinished` and takes its name when it is complete, so that a
    preparation which is killed leaves no store; the next one starts clean. An earlier store stays as
    it is until the new one is complete.

    Args:
        dataset: `criteo` or `avazu`.
        raw: text or gzip file.
        out: folder, made when missing; it holds one store of each data set.
        options: what decides the content.
        workers: threads.
        progress: shows bars with the time left.
        overwrite: replaces a store of other options.

    Returns:
        The manifest, with the store's folder as `folder`. A store of the same options and raw file
        that is already there is checked and returned.

    Raises:
        DataError: bad input, a store of other options, another preparation running, a full disk.
    """
    options = options or Options()
    raw, out = pathlib.Path(raw), pathlib.Path(out)
    if dataset not in FORMATS:
        raise DataError(f"`dataset` must be one of {list(FORMATS)}. Received: {dataset!r}")
    fmt = FORMATS[dataset]
    # Constructed for its checks of the arguments, before anything is written.
    file = RawFile(raw, fmt, options.features(fmt), options.on_bad_row, workers, progress)
    rows = estimate_rows(raw, fmt)
    with _writing_to(out, rows * (4 * len(file.features) + 32)):
        store = out / BUILDERS[dataset].name
        if not overwrite and (done := _existing(store, content_of(fmt, raw, options))):
            return done
        builder = new_builder(out / _UNFINISHED, file, options)
        with quiet():
            builder.download_and_prepare(download_dir=str(out / _UNFINISHED / "downloads"))
        _replace(store, out / _UNFINISHED / store.name)
    # Its checksums were taken a moment ago; whoever loads the store compares them.
    return _describe(next(store.glob(f"*/*/{FILE}")).parent, verify=False)


def _replace(store: pathlib.Path, new: pathlib.Path) -> None:
    """Puts a complete store in the place of an earlier one."""
    if store.exists():
        earlier = new.parent / _REPLACED
        earlier.mkdir()
        os.replace(store, earlier / store.name)
    os.replace(new, store)


def _clear(out: pathlib.Path) -> None:
    """Removes what is unfinished; a store that was about to be replaced takes its place again."""
    for earlier in (out / _UNFINISHED / _REPLACED).glob("*"):
        if not (out / earlier.name).exists():
            os.replace(earlier, out / earlier.name)
    shutil.rmtree(out / _UNFINISHED, ignore_errors=True)


def _existing(store: pathlib.Path, content: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of the store in place, when it is what is asked for."""
    found = next(iter(store.glob(f"*/*/{FILE}")), None)
    if found is None:
        return None
    manifest = _describe(found.parent)
    if different := sorted(k for k in content if manifest.get(k) != content[k]):
        raise DataError(
            f"{found.parent}: holds a store of other {' and '.join(different)} "
            f"({ {k: manifest.get(k) for k in different} }); "
            "name another --out, or replace it with --overwrite."
        )
    return manifest


def _describe(folder: pathlib.Path, *, verify: bool = True) -> dict[str, Any]:
    return {"folder": str(folder), **read_manifest(folder, verify=verify)}


@contextlib.contextmanager
def _writing_to(out: pathlib.Path, bytes_needed: int) -> Iterator[None]:
    """Locks `out`, checks the room, clears what a killed run left; and clears up after a failure."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / _LOCK).open("w")
    except OSError as error:
        raise DataError(f"{out}: cannot be written to ({error.strerror}).") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"{out}: another preparation is writing there.") from error
        _clear(out)
        if (free := shutil.disk_usage(out).free) < bytes_needed:
            raise DataError(
                f"{out}: needs about {bytes_needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free."
            )
        try:
            yield
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


def report(manifest: dict[str, Any]) -> str:
    """What a preparation prints: rows, fields, sizes, bytes, md5, bad rows, collisions."""
    lines = [f"store      {manifest['folder']}"]
    counts = manifest["lines"]
    lines.append(
        f"lines      {counts['lines']} = {counts['rows']} rows + {counts['bad']} bad"
        f" + {counts['header']} header"
    )
    lines.extend(f"  bad      {n} x {reason}" for reason, n in counts["bad_by_reason"].items())
    lines.extend(f"  example  line {e['line']}: {e['reason']}" for e in counts["bad_examples"])
    for name, split in manifest["splits"].items():
        rate = split["clicks"] / split["rows"]
        md5 = split["rows_md5"]
        lines.append(f"{name:<10} {split['rows']} rows, {rate:.4f} clicked, md5 of rows {md5}")
    schema = manifest["schema"]
    lines.append(f"features   {sum(f['size'] for f in schema)} in {len(schema)} fields")
    shared = {c["name"]: c for c in manifest.get("collisions", [])}
    for field in schema:
        line = f"  {field['name']:<16} {field['size']:>9}"
        if field["name"] in shared:
            c = shared[field["name"]]
            line += f"  {c['used']:>8} used, about {c['shared']:.1%} of features share a bucket"
        lines.append(line)
    for name, facts in manifest["files"].items():
        lines.append(f"{facts['md5']}  {facts['bytes']:>12}  {name}")
    return "\n".join(lines)
