"""What a data set that comes along is declared by; its declaration stands in the folder of its own code."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pep_tf.data.dataset import CTRData

_MANY_ROWS = 1_000_000
FEW_EPOCHS = {"epochs": 10, "prune_epochs": 10, "patience": 2}


def defaults_by_rows(train_rows: int) -> dict[str, Any]:
    """What differs from `Config`, the main command's, where a data set does not say otherwise.

    With the 62 steps per epoch of the small MovieLens set pruning from the paper's s0 of -15 would take 250
    epochs: thresholds start where the steps available allow. From a million training rows on few epochs do.
    """
    few = FEW_EPOCHS if train_rows >= _MANY_ROWS else {"prune_epochs": 40}
    return {"threshold_init": "auto", **few}


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set by its name.

    Attributes:
        load: reads it; takes `data_dir`, `seed`, `features` if there are several, `verify` if it may be a
            store, and `options`. Raises DataError for whatever the user can mend.
        features: what `features` may be; None: `load` judges.
        needs: what `data_dir` must be, in words; None: it may be left out.
        is_store: whether a folder is a prepared store of it; None: no folder is.
        options: the names of what else it may be asked for.
        defaults: what differs from `Config` with so many training rows.
    """

    load: Callable[..., CTRData]
    features: tuple[str, ...] | None = ("paper",)
    needs: str | None = None
    is_store: Callable[[Path], bool] | None = None
    options: tuple[str, ...] = ()
    defaults: Callable[[int], dict[str, Any]] = defaults_by_rows
