"""What a budget in bytes is cut and stored by where no method is asked for: what kept most of the AUC."""

from collections.abc import Collection
from typing import Any, NamedTuple

from pep_tf.training.budgets import in_bytes
from pep_tf.training.settings import PRUNING_ALONE

MODELS = ("fm",)  # to which it applies, by their names in `build_model`


class ByBytes(NamedTuple):
    """The method, how numbers are stored, and where tickets start from; measured in docs/methods.md."""

    method: str = "prefix"
    dtype: str = "lsq4"
    init: str = "trained"


def by_bytes(model: str | None, budgets: Any, asked: Collection[str]) -> ByBytes | None:
    """What is taken for budgets that are all in bytes; None where the defaults are those for entries.

    Args:
        model: name of the model; None for one of another kind.
        budgets: as they were given.
        asked: names of what was asked for; a method, a dtype, or something that thresholds alone have
            is a choice of one's own.
    """
    own = {"method", "dtype", "export_dtype", "granularity", "threshold_init", *PRUNING_ALONE}
    if model not in MODELS or own & set(asked) or not in_bytes(budgets):
        return None
    return ByBytes()
