"""The manifest of a store: what it holds, and the checksum of every file, so that damage has a name."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
from typing import Any

import pep_tf
from pep_tf.errors import DataError

FILE = "manifest.json"
FORMAT_VERSION = 1


def write_manifest(folder: pathlib.Path, facts: dict[str, Any]) -> None:
    """Writes `manifest.json`, last and in one step: facts, and bytes and md5 of each file of data."""
    names = sorted(
        p.name for p in folder.iterdir() if ".tfrecord" in p.name or "transform" in p.name
    )
    manifest = {
        "manifest_version": FORMAT_VERSION,
        "tool": f"pep_tf {getattr(pep_tf, '__version__', '0.1.0')}",
        **facts,
        "files": {
            n: {"bytes": (folder / n).stat().st_size, "md5": file_md5(folder / n)} for n in names
        },
    }
    unfinished = folder / (FILE + ".tmp")
    unfinished.write_text(json.dumps(manifest, indent=1) + "\n")
    os.replace(unfinished, folder / FILE)


def read_manifest(folder: pathlib.Path, *, verify: bool = True) -> dict[str, Any]:
    """Reads a manifest and checks the files it names.

    Args:
        folder: of the store.
        verify: compares every checksum; else names and sizes only.

    Raises:
        DataError: no manifest, of another version, damaged; a file missing or changed.
    """
    path = folder / FILE
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; {folder} is no prepared store.") from error
    except ValueError as error:
        raise DataError(f"{path}: damaged, not JSON ({error}); prepare the data again.") from error
    if manifest.get("manifest_version") != FORMAT_VERSION:
        raise DataError(
            f"{path}: `manifest_version` must be {FORMAT_VERSION}. "
            f"Received: {manifest.get('manifest_version')!r}; prepare the data again."
        )
    for name, expected in manifest["files"].items():
        file = folder / name
        if not file.is_file():
            raise DataError(f"{file}: missing; prepare the data again.")
        if (size := file.stat().st_size) != expected["bytes"]:
            raise DataError(f"{file}: damaged, {size} bytes instead of {expected['bytes']}.")
    if verify:
        _verify(folder, manifest["files"])
    return manifest


def _verify(folder: pathlib.Path, files: dict[str, Any]) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda name: file_md5(folder / name), files)
        for name, md5 in zip(files, found, strict=True):
            if md5 != files[name]["md5"]:
                raise DataError(
                    f"{folder / name}: damaged, its md5 is {md5}; prepare the data again."
                )


def file_md5(path: pathlib.Path) -> str:
    """md5 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
