"""Whether thresholds will get as far as the budgets ask, judged from how they have moved so far."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from pep_tf.layers import PEPEmbedding
from pep_tf.training.nonzeros import Seen


def mean_thresholds(seen: Mapping[str, Seen]) -> dict[str, float]:
    """Mean s of each table."""
    return {name: float(np.mean(look.thresholds)) for name, look in seen.items()}


def entries_left(
    tables: Mapping[str, PEPEmbedding], seen: Mapping[str, Seen], rise: Mapping[str, float]
) -> dict[str, int]:
    """Non-zeros of each table if its thresholds rise by so much and its weights stay.

    Args:
        tables: by key.
        seen: the latest look at each, see `Nonzeros`.
        rise: of the thresholds of each.
    """
    left = {}
    for name, layer in tables.items():
        table, thresholds = seen[name].table, seen[name].thresholds
        gate = layer.gate(tf.constant(thresholds + np.float32(rise[name])))
        count = int(np.count_nonzero(np.abs(table) > gate.numpy()))
        left[name] = round(count * layer.input_dim / len(table))
    return left
