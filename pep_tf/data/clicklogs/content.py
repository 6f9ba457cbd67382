"""What a raw file holds, as digests taken in the pass that reads it; and whether it has changed since."""

import hashlib
import pathlib
from typing import Any

import numpy as np

from pep_tf.data.clicklogs.formats import Format
from pep_tf.data.clicklogs.text import read_blocks
from pep_tf.data.store.manifest import Stamp, stamp
from pep_tf.errors import DataError


class ContentDigest:
    """Digests of a text and of the labels of its rows, fed block by block in file order.

    Attributes:
        text: is given the text, uncompressed, as it is read; see `read_blocks`.
    """

    def __init__(self) -> None:
        self.text = hashlib.sha256()  # the fastest of `hashlib` where the processor knows it
        self._labels, self._rows = hashlib.sha256(), 0

    def add(self, labels: np.ndarray) -> None:
        """Takes the labels of the next rows, uint8 [n]."""
        self._labels.update(labels.tobytes())
        self._rows += len(labels)

    def digests(self) -> dict[str, Any]:
        """The content part of an `Identity`; `features` covers the whole text."""
        return {
            "rows": self._rows,
            "labels": self._labels.hexdigest(),
            "features": self.text.hexdigest(),
        }


def text_digest(path: pathlib.Path, fmt: Format) -> str:
    """The digest of a text by itself: a pass that reads and does not parse."""
    digest = hashlib.sha256()
    for _ in read_blocks(path, fmt, digest=digest):
        pass
    return digest.hexdigest()


def still_holds(
    path: pathlib.Path, fmt: Format, text: str, before: Stamp, *, verify: bool = False
) -> bool:
    """Whether a file holds the text of that digest.

    It is read only if its stamp is no longer the one that it had when it held it, or to `verify`.
    """
    return (stamp(path) == before and not verify) or text_digest(path, fmt) == text


def refuse_change(path: pathlib.Path, fmt: Format, text: str, before: Stamp) -> None:
    """Raises DataError unless a file that had the stamp `before` still holds the text of that digest."""
    if not still_holds(path, fmt, text, before):
        raise DataError(f"{path}: has changed since it was read; start again.")
