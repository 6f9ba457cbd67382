"""Folders that appear whole or not at all, such as TF Serving's versions: `<folder>/1`, `<folder>/2`, ..."""

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import safetensors
import tensorflow as tf

from pep_tf.errors import RunError
from pep_tf.files import sync
from pep_tf.paths import resolve

_ATTEMPTS = 100


def publish_version(folder: str | Path, write: Callable[[Path], None]) -> Path:
    """Writes the next version of a model.

    `write` fills a hidden folder beside the versions (the server looks at names that are numbers
    only); that folder is then renamed in one step. Earlier versions are never opened.

    Args:
        folder: the model's folder; created where it does not exist.
        write: fills the empty folder that it is given.

    Returns:
        `folder / str(latest + 1)`.

    Raises:
        RunError: the folder cannot be written or the disk is full. Nothing stays behind.
    """
    return _publish(resolve(folder), resolve(folder), write, _rename_to_next)


def publish_folder(folder: str | Path, write: Callable[[Path], None]) -> Path:
    """Writes a folder that is new or empty; `write` and what it raises are those of `publish_version`.

    Raises:
        RunError: a folder with something in it.
    """
    folder = resolve(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"`folder` must be new or empty. Received: {folder}")

    def rename(draft: Path) -> Path:
        draft.rename(folder)
        sync(folder.parent)
        return folder

    return _publish(folder, folder.parent, write, rename)


def _publish(
    folder: Path, beside: Path, write: Callable[[Path], None], rename: Callable[[Path], Path]
) -> Path:
    """Fills a hidden folder, then renames it."""
    draft = beside / f".draft-{secrets.token_hex(8)}"
    try:
        draft.mkdir(parents=True)
        write(draft)
        _flush(draft)
        return rename(draft)
    except (OSError, tf.errors.OpError, safetensors.SafetensorError) as error:
        raise RunError(
            f"Could not write the model to {folder}: {_reason(error)}. Nothing was left there; free"
            " some space or name another folder."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def latest_version(folder: str | Path) -> int:
    """The highest version number in `folder`, or 0."""
    folder = resolve(folder)
    if not folder.is_dir():
        return 0
    return max((int(p.name) for p in folder.iterdir() if p.name.isdecimal()), default=0)


def _rename_to_next(draft: Path) -> Path:
    """Renames to latest + 1, going on to the next number where another writer was faster."""
    for _ in range(_ATTEMPTS):
        target = draft.parent / str(latest_version(draft.parent) + 1)
        try:
            draft.rename(target)  # Fails on a folder with something in it; never replaces one.
        except OSError:
            if not target.exists():
                raise
            continue
        sync(target.parent)
        return target
    raise OSError(f"no free version number after {_ATTEMPTS} attempts")


def _flush(folder: Path) -> None:
    """Puts files and names on the disk before the rename can make them visible."""
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__
