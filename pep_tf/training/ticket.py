"""The lottery ticket: which entries of a table stay, and what everything started from."""

import copy
import dataclasses
import pathlib
from typing import Any, Self

import keras
import numpy as np

from pep_tf.errors import TicketError
from pep_tf.training.state import load_state, save_state
from pep_tf.training.weights import assign, named_weights

_FORMAT = 1
TABLE = "embedding/table"


@dataclasses.dataclass
class Ticket:
    """A mask over an N x d table with the weights to start from.

    Attributes:
        budget: entries asked for.
        nnz: entries that the mask keeps; equal to the budget.
        step: pruning step at which it was cut.
        forced: whether the thresholds alone had not reached the budget.
        mask_bits: uint8 [N, ceil(d / 8)], rows of the mask by `numpy.packbits`.
        dim: d.
        initial: weights before pruning, by name; of the table only the kept entries, float32 [nnz].
        pruned: weights when the ticket was cut, in the same form (the table's are those of E).
        model_config: configuration of the pruned model.
        facts: JSON-ready origin: data set, split md5, settings, versions.
    """

    budget: int
    nnz: int
    step: int
    forced: bool
    mask_bits: np.ndarray
    dim: int
    initial: dict[str, np.ndarray]
    pruned: dict[str, np.ndarray]
    model_config: dict[str, Any]
    facts: dict[str, Any]

    def mask(self) -> np.ndarray:
        """bool [N, d]."""
        return np.unpackbits(self.mask_bits, axis=1, count=self.dim).astype(bool)

    def rebuild(self, init: str = "original") -> keras.Model:
        """The model with the mask on and thresholds off.

        Args:
            init: `"original"`: weights from before pruning (the lottery ticket); `"pruned"`: those
                at the cut; `"random"`: new ones, from Keras's global seed.

        Raises:
            ValueError: an unknown `init`.
            TicketError: a model that cannot be made, or weights of another model.
        """
        model = _masked(self.model_config)
        self.fill(model, init)
        return model

    def fill(self, model: keras.Model, init: str = "original") -> None:
        """Sets mask and weights of a model that `rebuild` made, of this ticket or of a sister.

        Args:
            model: for `init="random"`, with the new weights already in it.
            init: see `rebuild`.

        Raises:
            ValueError: an unknown `init`.
            TicketError: weights of another model.
        """
        if init not in ("original", "pruned", "random"):
            raise ValueError(f"`init` must be 'original', 'pruned' or 'random'. Received: {init!r}")
        mask = self.mask()
        table = named_weights(model)[TABLE]
        if init == "random":
            values = {TABLE: np.where(mask, table._value.numpy(), 0)}
        else:
            values = dict(self.initial if init == "original" else self.pruned)
            scattered = np.zeros(mask.shape, np.float32)
            scattered[mask] = values[TABLE]
            values[TABLE] = scattered
        values["embedding/mask"] = mask
        self._check_fit(named_weights(model), values, partly=init == "random")
        assign(model, values)

    @staticmethod
    def _check_fit(weights: dict[str, Any], values: dict[str, np.ndarray], partly: bool) -> None:
        own = {name: tuple(weight.shape) for name, weight in weights.items()}
        told = {name: value.shape for name, value in values.items()}
        missing = set() if partly else set(own) - set(told)
        if wrong := missing | {name for name in told if told[name] != own.get(name)}:
            raise TicketError(
                f"The ticket does not fit its model: see its weights {sorted(wrong)}."
            )

    def save(self, path: pathlib.Path) -> None:
        """Writes the ticket to one file, without pickle; raises RunError if it cannot."""
        arrays = {"mask_bits": self.mask_bits}
        arrays |= {f"initial/{name}": value for name, value in self.initial.items()}
        arrays |= {f"pruned/{name}": value for name, value in self.pruned.items()}
        scalars = ("budget", "nnz", "step", "forced", "dim", "model_config", "facts")
        facts = {name: getattr(self, name) for name in scalars}
        save_state(path, arrays, {"pep_tf_ticket": _FORMAT, **facts})

    @classmethod
    def load(cls, path: pathlib.Path) -> Self:
        """Reads a ticket.

        Raises:
            TicketError: a missing, damaged or foreign file, or one that contradicts itself.
        """
        arrays, facts = load_state(path, "a ticket", TicketError)
        if not isinstance(facts, dict) or facts.pop("pep_tf_ticket", None) != _FORMAT:
            raise TicketError(f"{path} is not a ticket of format {_FORMAT} of this package.")
        try:
            ticket = cls(
                mask_bits=arrays["mask_bits"],
                initial=_below("initial/", arrays),
                pruned=_below("pruned/", arrays),
                **facts,
            )
            table = ticket.model_config["config"]["embedding"]["config"]
            told = (table["input_dim"], table["output_dim"])
            mask = ticket.mask()
            sizes = {int(mask.sum()), len(ticket.initial[TABLE]), len(ticket.pruned[TABLE])}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TicketError(f"{path} is damaged: {type(error).__name__} {error}") from error
        if mask.shape != told:
            raise TicketError(f"{path} is damaged: a mask of {mask.shape} for a table of {told}.")
        if sizes != {ticket.nnz}:
            raise TicketError(f"{path} is damaged: it says nnz={ticket.nnz} but holds {sizes}.")
        return ticket

    def check_fields(self, fields: dict[str, int]) -> None:
        """Raises TicketError unless the ticket's table was made for these fields, in this order."""
        own = self.model_config["config"]["fields"]
        if list(own.items()) != list(fields.items()):
            raise TicketError(
                f"The ticket belongs to a table with the fields {own}, but the data has {fields}. "
                "Use the data set and --features that it was made with."
            )


def _below(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n.removeprefix(prefix): v for n, v in arrays.items() if n.startswith(prefix)}


def _masked(model_config: dict[str, Any]) -> keras.Model:
    """A model of that configuration, built, with a mask instead of thresholds."""
    model_config = copy.deepcopy(model_config)
    model_config["config"]["embedding"]["config"]["pruning"] = "mask"
    try:
        model = keras.saving.deserialize_keras_object(model_config)
        if not model.built:
            model.build()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TicketError(
            f"The model of the ticket cannot be made: {error} Import the module that registers "
            "its classes and functions; if it is imported, the ticket is damaged."
        ) from error
    return model
