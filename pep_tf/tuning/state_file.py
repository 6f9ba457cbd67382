"""A JSON file that survives kills and damage: written whole, with the previous one kept."""

import json
import pathlib
from typing import Any

from pep_tf.errors import RunError
from pep_tf.training.state import save_text, with_checksum, without_checksum


def write(path: pathlib.Path, state: Any) -> None:
    """Writes `path`; its previous content goes to `<stem>.previous.json` beside it.

    Raises:
        RunError: the folder cannot be written, or the disk is full; the earlier file stays.
    """
    try:
        before = path.read_text("utf-8")
        without_checksum(json.loads(before))
    except (FileNotFoundError, ValueError):
        pass  # nothing worth keeping
    else:
        save_text(_previous(path), before)
    save_text(path, json.dumps(with_checksum(state)))


def read(path: pathlib.Path) -> Any | None:
    """The latest state that can be read; None if there is none, or only the first one, damaged.

    Raises:
        RunError: both files are damaged.
    """
    damaged = 0
    for candidate in (path, _previous(path)):
        try:
            return without_checksum(json.loads(candidate.read_text("utf-8")))
        except FileNotFoundError:
            continue
        except ValueError:
            damaged += 1
    if damaged > 1:
        raise RunError(f"{path} and {_previous(path)} are damaged. Choose another folder.")
    return None


def _previous(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")
