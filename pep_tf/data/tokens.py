"""Text tokens as machine words, so that a million of them are handled by one array operation.

A token (one field of one line, a byte string) becomes its length and as many little-endian words of 8 bytes
as the longest one has, padded with zero bytes. Two tokens without NUL bytes are equal exactly
when their words are equal.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pep_tf.data.hashing import WORD, mix

MAX_TOKEN_BYTES = 32  # of a click log's
_AT_ONCE = 1 << 14  # texts, since a block of them is as wide as its longest
# KEEP[n] keeps the first n bytes of a word.
KEEP = np.array([(1 << (8 * n)) - 1 for n in range(WORD)] + [2**64 - 1], np.uint64)


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A matrix of tokens.

    Attributes:
        words: 1 array or more, uint64 [n, C]: bytes 0-7 of each token, bytes 8-15, ... Words that are
            left out are zero for every token.
        lengths: int64 [n, C], bytes a token.
    """

    words: list[np.ndarray]
    lengths: np.ndarray

    def columns(self, index: list[int]) -> "Tokens":
        """Some columns."""
        taken: Any = index
        if index == list(range(index[0], index[-1] + 1)):  # contiguous: then several times faster
            taken = slice(index[0], index[-1] + 1)
        parts = [np.ascontiguousarray(part[:, taken]) for part in (*self.words, self.lengths)]
        return Tokens(parts[:-1], parts[-1])

    def keys(self) -> np.ndarray:
        """uint64 [n, C], as `text_keys` gives them of texts without NUL bytes, a few times faster."""
        key = self.words[0]
        for index, word in enumerate(self.words[1:], start=1):
            key = np.where(self.lengths > index * WORD, mix(key) ^ word, key)
        return key

    def distinct(self) -> tuple[list[bytes], np.ndarray]:
        """The tokens that occur, each once, and the place of each in these, int64 [n, C]."""
        words = [word.ravel() for word in self.words]
        if len(words) == 1:
            places, texts = pd.factorize(words[0])
        else:
            whole = np.stack(words, axis=1).view(f"S{WORD * len(words)}").ravel()
            texts, places = np.unique(whole, return_inverse=True)
        texts = texts.view(f"S{WORD * len(words)}")
        return texts.tolist(), places.reshape(self.lengths.shape)


def tokens_of_buffer(padded: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Tokens:
    """Gathers tokens out of a text held in memory.

    Args:
        padded: uint8 [m], the text followed by as many bytes of anything as the longest token has, and 8.
        starts: int64 [n, C], where each token starts.
        lengths: int64 [n, C].
    """
    # Every byte position as the start of an (unaligned) word: one gather fetches 8 bytes.
    windows: np.ndarray = np.ndarray(
        (padded.size - WORD + 1,), "<u8", buffer=padded.data, strides=(1,)
    )
    longest = int(lengths.max(initial=0))
    words = []
    for first in range(0, max(longest, 1), WORD):
        # Indexing, not `take`: that would first copy every window.
        word = windows[starts + first if first else starts]
        word &= KEEP.take(np.clip(lengths - first, 0, WORD) if longest > WORD else lengths)
        words.append(word)
    return Tokens(words, lengths)


def text_keys_of(texts: Sequence[bytes]) -> np.ndarray:
    """uint64 [n], as `text_keys` gives them, a few times faster."""
    keys = [np.empty(0, np.uint64)]
    for first in range(0, len(texts), _AT_ONCE):
        some = texts[first : first + _AT_ONCE]
        lengths = np.fromiter(map(len, some), np.int64, len(some))
        data = b"".join(some) + bytes(int(lengths.max()) + WORD)
        starts = np.cumsum(lengths) - lengths
        found = tokens_of_buffer(np.frombuffer(data, np.uint8), starts, lengths).keys()
        keys.append(np.where((found == 0) & (lengths > 0), np.uint64(1), found))
    return np.concatenate(keys)
