"""The manifest of a store: what it holds, and the checksum of every file, so that damage has a name."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from pep_tf.data.identity import Identity
from pep_tf.errors import DataError, reading
from pep_tf.version import __version__

Stamp = tuple[int, ...]
STORE = "prepared store"  # what rows are then read from, see `Identity`
FILE = "manifest.json"
RAW_FILE = "raw"  # its name among the stamps
FORMAT_VERSION = 1
# Of what a store holds; raised when the content for the same input changes.
STORE_VERSION = "1.1.0"
_STAMPS = ".stamps.json"


def stamp(path: pathlib.Path) -> Stamp:
    """Size, times, inode and device of a file: while they stay the content does."""
    status = path.stat()
    return (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
    )


def write_manifest(
    folder: pathlib.Path, facts: dict[str, Any], raw_stamps: Mapping[str, Stamp]
) -> None:
    """Writes `manifest.json`, last and in one step: facts, and bytes and md5 of each file of data.

    Args:
        folder: of the store, its files complete.
        facts: what the manifest says of the data.
        raw_stamps: of the raw files when they were read, by name.
    """
    names = sorted(
        p.name for p in folder.iterdir() if ".tfrecord" in p.name or "transform" in p.name
    )
    stamps = {name: stamp(folder / name) for name in names}
    known = Identity.from_config(facts["identity"]) or Identity()
    manifest = {
        "manifest_version": FORMAT_VERSION,
        "tool": f"pep_tf {__version__}",
        **facts,
        "content_md5": known.digests()["content"],
        "files": {
            n: {"bytes": (folder / n).stat().st_size, "md5": file_md5(folder / n)} for n in names
        },
    }
    _write(folder / _STAMPS, {**stamps, **raw_stamps})
    _write(folder / FILE, manifest)


def _write(path: pathlib.Path, content: dict[str, Any]) -> None:
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(unfinished, path)


def read_stamps(folder: pathlib.Path) -> dict[str, Stamp]:
    """The stamps that files had when their content was last compared; none where that is not known."""
    try:
        found = json.loads((folder / _STAMPS).read_text())
        return {name: tuple(values) for name, values in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def note_stamps(folder: pathlib.Path, stamps: dict[str, Stamp]) -> None:
    """Remembers stamps, beside the others; in a folder that cannot be written nothing is."""
    with contextlib.suppress(OSError):
        _write(folder / _STAMPS, {**read_stamps(folder), **stamps})


def read_manifest(folder: pathlib.Path, *, verify: bool = False) -> dict[str, Any]:
    """Reads a manifest and checks the files it names.

    A file is hashed, and compared with its checksum, if its size, times or inode are not those that it
    had when that was last done.

    Args:
        folder: of the store.
        verify: hashes every file.

    Raises:
        DataError: no manifest, of another version, damaged; a file missing or changed.
    """
    path = folder / FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; {folder} is no prepared store.") from error
    with reading_manifest(folder):
        manifest: dict[str, Any] = json.loads(text)
        _check_parts(folder, manifest)
    _verify(folder, manifest["files"], {} if verify else read_stamps(folder))
    return manifest


def reading_manifest(folder: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """Names the manifest where something that it should hold is missing or of another kind."""
    return reading(folder / FILE, DataError, "prepare the data again")


def _check_parts(folder: pathlib.Path, manifest: dict[str, Any]) -> None:
    path = folder / FILE
    if manifest.get("manifest_version") != FORMAT_VERSION:
        raise DataError(
            f"{path}: `manifest_version` must be {FORMAT_VERSION}. "
            f"Received: {manifest.get('manifest_version')!r}; prepare the data again."
        )
    for name, facts in manifest["splits"].items():
        rows, clicks = sum(map(sum, facts["block_rows"])), facts.get("clicks", 0)
        if rows != facts["rows"] or not 0 <= clicks <= rows:
            raise DataError(
                f"{path}: damaged, {facts['rows']} rows of {name!r}, {clicks} of them clicked, in blocks "
                f"of {rows} rows together; prepare the data again."
            )
    for name, expected in manifest["files"].items():
        if pathlib.PurePath(name).name != name or name == "..":
            raise DataError(f"{path}: damaged, {name!r} is no file of the store.")
        file = folder / name
        if not file.is_file():
            raise DataError(f"{file}: missing; prepare the data again.")
        if (size := file.stat().st_size) != expected["bytes"]:
            raise DataError(f"{file}: damaged, {size} bytes instead of {expected['bytes']}.")
        _ = expected["md5"]


def check_version(folder: pathlib.Path, manifest: dict[str, Any]) -> None:
    """Raises DataError unless the store is of the version that this package reads."""
    if manifest.get("version") != STORE_VERSION:
        raise DataError(
            f"{folder}: `version` of the store must be {STORE_VERSION}. "
            f"Received: {manifest.get('version')!r}; prepare the data again."
        )


def _verify(folder: pathlib.Path, files: dict[str, Any], known: dict[str, Stamp]) -> None:
    now = {name: stamp(folder / name) for name in files}
    changed = [name for name in files if known.get(name) != now[name]]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda name: file_md5(folder / name), changed)
        for name, md5 in zip(changed, found, strict=True):
            if md5 != files[name]["md5"]:
                raise DataError(
                    f"{folder / name}: damaged, its md5 is {md5}; prepare the data again."
                )
    if changed:
        note_stamps(folder, now)


def file_md5(path: pathlib.Path) -> str:
    """md5 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
