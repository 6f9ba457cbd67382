"""Arrays and facts in one file, written whole or not at all: for tickets and checkpoints."""

import contextlib
import json
import os
import pathlib
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from pep_tf.distributed import is_leader
from pep_tf.errors import PepError, RunError, reading
from pep_tf.files import sync

_NEIGHBOUR = ".{}.{}.tmp"  # of a file, by a process
_FACTS = ""  # the checksum of the facts, beside those of the arrays
_CRC = "crc32"  # of an object in a text file, among what it holds


def save_state(
    path: pathlib.Path, arrays: Mapping[str, np.ndarray], facts: Any, *, everyone: bool = False
) -> None:
    """Writes arrays and JSON-ready facts; readers see the old file or the new one, never a part.

    Of several workers the first one writes, or `everyone` a file of its own.

    Raises:
        RunError: the folder cannot be written, or the disk is full; an earlier file stays.
    """
    if not (everyone or is_leader()):
        return
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    told = {"facts": json.dumps(facts)}
    told[_CRC] = json.dumps(_sums(contiguous, told["facts"]))
    with replacing(path) as neighbour:
        safetensors.numpy.save_file(contiguous, neighbour, told)


def _sums(arrays: Mapping[str, np.ndarray], facts: str) -> dict[str, int]:
    """The checksum of each array, and at `_FACTS` that of the facts."""
    octets = {name: array.reshape(-1).view(np.uint8).data for name, array in arrays.items()}
    return {_FACTS: zlib.crc32(facts.encode())} | {n: zlib.crc32(o) for n, o in octets.items()}


def _check_sums(arrays: Mapping[str, np.ndarray], told: Mapping[str, str]) -> None:
    """Raises SafetensorError where a part is not what was written; earlier versions kept no sums."""
    written = json.loads(told.get(_CRC, "{}"))
    found = _sums(arrays, told["facts"]).items() if written else ()
    if changed := [name or "what it tells" for name, own in found if written.get(name) != own]:
        raise safetensors.SafetensorError(f"{changed[0]} has changed since it was written")


def save_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file whole or not at all; see `save_state` for who writes, and for errors."""
    if not is_leader():
        return
    with replacing(path) as neighbour:
        neighbour.write_text(text, "utf-8")


def save_object(path: pathlib.Path, found: Mapping[str, Any], indent: int | None = None) -> None:
    """Writes a JSON object with the checksum of what it holds; see `save_text`."""
    save_text(path, json.dumps(with_checksum(found), indent=indent) + "\n")


def with_checksum(found: Mapping[str, Any]) -> dict[str, Any]:
    """An object as JSON has it, and the checksum of what it holds."""
    told = json.loads(json.dumps(found))
    return {**told, _CRC: _checksum(told)}


def without_checksum(found: Any) -> Any:
    """What `with_checksum` was given, from a file; earlier versions kept no checksum.

    Raises:
        ValueError: an object that is not what was written.
    """
    if not isinstance(found, dict) or _CRC not in found:
        return found
    told = {name: value for name, value in found.items() if name != _CRC}
    if found[_CRC] != _checksum(told):
        raise ValueError("it has changed since it was written")
    return told


def _checksum(found: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(found, sort_keys=True).encode())


@contextlib.contextmanager
def reading_object(path: pathlib.Path, advice: str) -> Iterator[dict[str, Any]]:
    """Gives the JSON object that a text file holds, and names the file where that fails.

    Args:
        path: the file.
        advice: what to do about a file that is damaged.

    Raises:
        RunError: no JSON object, or one that makes the code within fail; see `reading`.
    """
    with reading(path, RunError, advice):
        yield dict(without_checksum(json.loads(path.read_text("utf-8"))).items())


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a temporary neighbour to write to, which takes the name of `path` once it is on disk.

    Raises:
        RunError: the folder cannot be written, or the disk is full; an earlier file stays.
    """
    neighbour = path.with_name(_NEIGHBOUR.format(path.name, os.getpid()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield neighbour
        sync(neighbour)
        os.replace(neighbour, path)
        sync(path.parent)
    except (OSError, safetensors.SafetensorError) as error:
        with contextlib.suppress(OSError):
            neighbour.unlink()
        raise RunError(
            f"Cannot write {path}: {error}. Free some space or choose another folder, then resume."
        ) from error


def remove_unfinished(path: pathlib.Path) -> None:
    """Removes temporary files that killed processes left beside a file."""
    for neighbour in path.parent.glob(_NEIGHBOUR.format(path.name, "*")):
        neighbour.unlink(missing_ok=True)


def load_state(
    path: pathlib.Path,
    what: str,
    error: type[PepError] = RunError,
    only: Collection[str] | None = None,
) -> tuple[dict[str, np.ndarray], Any]:
    """Reads what `save_state` wrote.

    Args:
        path: the file.
        what: what the file should be, for the message.
        error: class of the error.
        only: names of the arrays to read, those of them that are there; None reads all.

    Raises:
        PepError: of class `error`, when the file is missing, damaged or of another kind.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            told = file.metadata() or {}
            names = [n for n in file.keys() if only is None or n in only]  # noqa: SIM118
            arrays = {name: file.get_tensor(name) for name in names}
            _check_sums(arrays, told)
            return arrays, json.loads(told["facts"])
    except FileNotFoundError:
        raise error(f"{what} {path} is missing.") from None
    except (safetensors.SafetensorError, KeyError, json.JSONDecodeError, OSError) as cause:
        raise error(f"{path} is damaged or is not {what}: {cause}") from cause
