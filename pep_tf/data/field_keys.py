"""What the ids of a field stand for, so that another system can find the row of a value."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class FieldKeys:
    """What the ids of a field stand for.

    Attributes:
        encoding: how a value becomes an id, JSON-ready: its `name` and what it needs besides; `missing`
            and `unknown` are the ids of a value that is missing, and of one that has no id.
        texts: by id, the UTF-8 of the value; b"" where none names it. None: a rule gives the id.
        codes: by id, uint64 numbers that say exactly which value it is; None: the texts do.
    """

    encoding: Mapping[str, Any]
    texts: Sequence[bytes] | None = None
    codes: np.ndarray | None = None


def hash_encoding(seed: int, salt: np.uint64, buckets: int) -> dict[str, Any]:
    """What `hashing.buckets_of` does with the keys of a field, in words and numbers."""
    return {
        "name": "hash",
        "function": "1 + ((fmix64(code ^ salt) >> 32) * (buckets - 1) >> 32)",
        "code": CODE,
        "seed": int(seed),
        "salt": int(salt),
        "buckets": int(buckets),
        "missing": 0,
    }


# How `Tokens.keys` and `text_keys` make 64 bits of a text.
CODE = (
    "the first 8 bytes of the value's UTF-8 as a little-endian number, padded by zeros; for each further "
    "8 bytes w: code = fmix64(code) ^ w"
)


def texts_of(values: Sequence[Any], before: int = 0) -> list[bytes]:
    """UTF-8 of values that are text or numbers, behind ids that no value names."""
    return [b""] * before + [v if isinstance(v, bytes) else str(v).encode() for v in values]
