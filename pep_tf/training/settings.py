"""How a model is trained: one set of numbers shared by baseline, pruning and retraining."""

import dataclasses
from collections.abc import Collection
from typing import Any

import keras

from pep_tf.device import dense_below
from pep_tf.errors import RunError
from pep_tf.numbers import read_fields
from pep_tf.optimizers import CoupledAdam, RowwiseAdam

UPDATES = ("rowwise", "dense")
FITTING_ALONE = ("epochs", "patience")  # what pruning does not look at
PRUNING_ALONE = ("prune_epochs", "threshold_learning_rate", "threshold_l2", "threshold_target")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Training settings; the defaults are the paper's for MovieLens-1M.

    Attributes:
        batch_size: rows per step.
        learning_rate: of Adam, and of the thresholds unless `threshold_learning_rate` is given.
        l2: coupled L2 of every parameter (see `CoupledAdam`), thresholds included unless
            `threshold_l2` is given.
        epochs: at most, for the baseline and for each ticket.
        patience: epochs without a better validation AUC before the baseline or a ticket stops.
        prune_epochs: at most, for pruning; budgets not reached by then are cut.
        threshold_learning_rate, threshold_l2: the thresholds' own; None takes the common ones.
        threshold_target: the value thresholds are pulled to. 0 is the published method, which
            stalls near 10 % of the entries; above 0 they keep rising.
        updates: `"rowwise"`: only the rows of the batch at each step, the others made up for when
            they come; `"dense"`: every entry of the table at each step.
        dense_below: tables of fewer entries are updated densely all the same: it is exact, and
            costs less there. Tickets count by a quarter of their entries. None: by the device at
            hand, as in `RowwiseAdam`.
        seed: of shuffling, and of dropout and new weights when a ticket is retrained.
        check_every: steps between two reports of the loss, and while pruning between two counts of the
            non-zeros.
        checkpoint_every: steps between two checkpoints; while pruning those that are also checks.

    Raises:
        RunError: a value out of its range.

    Example:
        >>> dataclasses.replace(Settings(), epochs=3).epochs
        3
    """

    # Lower bounds.
    _LEAST = {
        **dict.fromkeys(("batch_size", "epochs", "patience", "prune_epochs"), 1),
        **dict.fromkeys(("check_every", "checkpoint_every"), 1),
        **dict.fromkeys(("l2", "threshold_learning_rate", "threshold_l2"), 0),
        **dict.fromkeys(("dense_below", "seed"), 0),
    }
    batch_size: int = 1024
    learning_rate: float = 1e-3
    l2: float = 1e-5
    epochs: int = 60
    patience: int = 5
    prune_epochs: int = 60
    threshold_learning_rate: float | None = None
    threshold_l2: float | None = None
    threshold_target: float = 15.0
    updates: str = "rowwise"
    dense_below: int | None = None
    seed: int = 0
    check_every: int = 50
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        read_fields(self, self._LEAST)
        if self.learning_rate <= 0:
            raise RunError(f"`learning_rate` must be above 0. Received: {self.learning_rate}")
        if self.threshold_learning_rate == 0 and self.updates == "rowwise":
            raise RunError(
                "`threshold_learning_rate` must be above 0 with updates=rowwise, which makes up for "
                "skipped steps. updates=dense takes 0."
            )
        if self.updates not in UPDATES:
            raise RunError(f"`updates` must be one of {list(UPDATES)}. Received: {self.updates!r}")
        if self.updates == "dense" and self.dense_below is not None:
            raise RunError(
                "`dense_below` has no effect with updates=dense, which updates every table whole. "
                f"Received: {self.dense_below}"
            )

    def optimizer(self, model: keras.Model) -> CoupledAdam:
        """A fresh optimizer, built for a built model."""
        options: dict[str, Any] = {
            "learning_rate": self.learning_rate,
            "l2": self.l2,
            "threshold_learning_rate": self.threshold_learning_rate,
            "threshold_l2": self.threshold_l2,
            "threshold_target": self.threshold_target,
        }
        if self.updates == "rowwise":
            optimizer: CoupledAdam = RowwiseAdam(**options, dense_below=self.dense_below)
        else:
            optimizer = CoupledAdam(**options)
        optimizer.build(model.trainable_variables)
        return optimizer

    def is_cut_short(self, best_epoch: int, epochs: int) -> bool:
        """Whether a training used up its `epochs` before its `patience`."""
        return epochs >= self.epochs and epochs - best_epoch < self.patience

    def get_config(self) -> dict[str, Any]:
        """The settings as JSON-ready values; those that depend on the device have this device's values."""
        own = dataclasses.asdict(self)
        if self.updates == "rowwise" and self.dense_below is None:
            own["dense_below"] = dense_below()
        return own

    def difference(self, other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """What steps depend on and `other`, a `get_config`, has otherwise: {name: (here, there)}.

        How long to train, when to look and when to save may change from one resumption to the next.
        """
        free = {"epochs", "patience", "prune_epochs", "check_every", "checkpoint_every"}
        return {
            name: (value, other.get(name))
            for name, value in self.get_config().items()
            if name not in free and other.get(name) != value
        }


def refuse_idle(given: Collection[str], idle: Collection[str], what: str) -> None:
    """Refuses, by name, settings that have no effect here.

    Args:
        given: names of the settings that were given for it.
        idle: names of those that it does not look at.
        what: it, for the message.

    Raises:
        RunError: one of `given` is among `idle`.
    """
    for name in given:
        if name in idle:
            raise RunError(f"`{name}` has no effect on {what}.")
