"""Which split a row belongs to, and its place there: functions of its number and a seed, nothing else."""

import numpy as np

from pep_tf.data.hashing import mix, salts, upper_half

SPLITS = ("train", "validation", "test")
_TRAIN, _VALIDATION = 0.8, 0.9


def assign_rows(rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits rows 80/10/10 and shuffles them, both by a hash (see `mix`).

    Args:
        rows: int64 [n], row numbers: the line number, less one, less the header.
        seed: of the split and of the shuffle.

    Returns:
        split uint8 [n], an index into `SPLITS`; order uint64 [n]: sorting a split by it shuffles it.
    """
    split_salt, order_salt = salts(seed, 2)
    u = upper_half(mix(rows.astype(np.uint64) ^ split_salt))
    split = (u >= int(_TRAIN * 2**32)).astype(np.uint8) + (u >= int(_VALIDATION * 2**32))
    return split, mix(rows.astype(np.uint64) ^ order_salt)
