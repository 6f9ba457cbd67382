"""Whole numbers as programs write them: 5, -1, and 5.0, which is what pandas makes of a 5 beside a gap.

A point with at most 15 zeros behind it is left out of such a token; the rest is what all else reads. A
token that is no whole number stays as it is, so `.0`, `5.1`, `+5` and `5e0` keep their point.
"""

import tensorflow as tf

from pep_tf.data.clicklogs.keys import MAX_DIGITS

# In the syntax that Python's `re` and TensorFlow's RE2 share; with sign and point 32 bytes at most.
DIGITS = f"-?[0-9]{{1,{MAX_DIGITS}}}"
ZEROS = rf"\.0{{0,{MAX_DIGITS}}}"


def without_zeros(texts: tf.Tensor, digits: str = DIGITS) -> tf.Tensor:
    """Texts, string of any shape, without the point and the zeros of `digits` followed by `ZEROS`."""
    return tf.strings.regex_replace(texts, f"^({digits}){ZEROS}$", r"\1", replace_global=False)
