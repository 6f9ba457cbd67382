"""Whole numbers as programs write them: 5, -1, and 5.0, which is what pandas makes of a 5 beside a gap.

A point with at most 15 zeros behind it is left out of such a token; the rest is what all else reads. A
token that is no whole number stays as it is, so `.0`, `5.1`, `+5` and `5e0` keep their point.
"""

import numpy as np
import tensorflow as tf

from pep_tf.data.backends import NUMPY
from pep_tf.data.clicklogs.keys import MAX_DIGITS, parse_numbers
from pep_tf.data.clicklogs.tokens import tokens_of_buffer

# In the syntax that Python's `re` and TensorFlow's RE2 share; with sign and point 32 bytes at most.
DIGITS = f"-?[0-9]{{1,{MAX_DIGITS}}}"
ZEROS = rf"\.0{{0,{MAX_DIGITS}}}"
_POINT, _MINUS = ord("."), ord("-")


def without_zeros(texts: tf.Tensor, digits: str = DIGITS) -> tf.Tensor:
    """Texts, string of any shape, without the point and the zeros of `digits` followed by `ZEROS`."""
    return tf.strings.regex_replace(texts, f"^({digits}){ZEROS}$", r"\1", replace_global=False)


def lengths_without_zeros(
    padded: np.ndarray, starts: np.ndarray, lengths: np.ndarray, columns: list[int]
) -> np.ndarray:
    """The same for the tokens of a text held in memory: their lengths, int64 [n, C].

    Args:
        padded, starts, lengths: as for `tokens_of_buffer`.
        columns: those of whole numbers; the others stay as they are.
    """
    points = np.flatnonzero(padded[: starts[-1, -1] + lengths[-1, -1]] == _POINT)
    token = np.searchsorted(starts.reshape(-1), points, side="right") - 1
    wanted = np.isin(token % starts.shape[1], columns)
    points, token = points[wanted], token[wanted]
    first = starts.reshape(-1)[token]
    rest = lengths.reshape(-1)[token] - (points + 1 - first)
    whole, _ = _digits(padded, first, points - first)
    signless, zero = _digits(padded, points + 1, rest)
    whole &= (rest == 0) | (signless & zero & (padded[points + 1] != _MINUS))
    shorter = lengths.copy()
    shorter.reshape(-1)[token[whole]] = (points - first)[whole]
    return shorter


def _digits(
    padded: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether bytes are `DIGITS`, and whether their number is 0."""
    number, valid = parse_numbers(NUMPY, tokens_of_buffer(padded, starts, lengths))
    return valid, number == 0
