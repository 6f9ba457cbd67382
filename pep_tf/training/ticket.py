"""The lottery ticket: which entries of a table stay, and what everything started from."""

import dataclasses
import os
from typing import Any, Self

import keras
import numpy as np
from absl import logging

from pep_tf.data import CTRData, Identity
from pep_tf.errors import TicketError
from pep_tf.layers import TicketEmbedding
from pep_tf.paths import resolve
from pep_tf.training.pruned_tables import EMBEDDING, FIRST_ORDER
from pep_tf.training.state import load_state, save_state
from pep_tf.training.trained_on import refuse_other_data
from pep_tf.training.weights import assign, named_weights

_FORMAT = 1


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
        initial: weights before pruning, by name; of a pruned table only the kept entries, float32.
        pruned: weights when the ticket was cut, in the same form (a table's are those of E).
        model_config: configuration of the pruned model.
        facts: JSON-ready origin: data set, split md5, settings, versions.
        linear_bits: uint8 [ceil(N / 8)], the mask of the first-order weights by `numpy.packbits`,
            where the budget covers them; else None.
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
    linear_bits: np.ndarray | None = None

    def mask(self) -> np.ndarray:
        """bool [N, d]."""
        return np.unpackbits(self.mask_bits, axis=1, count=self.dim).astype(bool)

    def masks(self) -> dict[str, np.ndarray]:
        """The masks by table: `embedding` [N, d], and `first_order` [N, 1] if it is covered."""
        masks = {EMBEDDING: self.mask()}
        if self.linear_bits is not None:
            linear = np.unpackbits(self.linear_bits, count=len(self.mask_bits))
            masks[FIRST_ORDER] = linear[:, None].astype(bool)
        return masks

    def rebuild(self, init: str = "original") -> keras.Model:
        """The model with a `TicketEmbedding` of what a mask keeps in place of each pruned table.

        Args:
            init: `"original"`: weights from before pruning (the lottery ticket); `"pruned"`: those
                at the cut; `"random"`: new ones, from Keras's global seed.

        Raises:
            ValueError: an unknown `init`.
            TicketError: a model that cannot be made, or weights of another model.
        """
        if init not in ("original", "pruned", "random"):
            raise ValueError(f"`init` must be 'original', 'pruned' or 'random'. Received: {init!r}")
        model, layers = self._sparse_model()
        values = dict({"original": self.initial, "pruned": self.pruned}.get(init, {}))
        for name, mask in self.masks().items():
            table = f"{name}/table"
            kept = self._random_entries(name, mask) if init == "random" else values[table]
            # A layer has one entry at least; it is beyond all rows in a ticket that keeps nothing.
            values[table] = kept[:, None] if len(kept) else np.zeros((1, 1), np.float32)
            # Where the entries belong does not come with a layer's configuration.
            places = layers[name].non_trainable_weights
            values |= {f"{name}/{v.name}": v.numpy() for v in places}
        self._check_fit(named_weights(model), values, partly=init == "random")
        assign(model, values)
        return model

    def _sparse_layers(self) -> dict[str, TicketEmbedding]:
        """By table, a layer that holds what its mask keeps."""
        bits = {EMBEDDING: (self.mask_bits, self.dim)}
        if self.linear_bits is not None:
            bits[FIRST_ORDER] = (np.packbits(self.masks()[FIRST_ORDER], axis=1), 1)
        layers = {}
        for name, (mask_bits, dim) in bits.items():
            told = self.model_config["config"][name]["config"]
            layers[name] = TicketEmbedding.of_mask(
                mask_bits, dim, dtype=told.get("dtype"), name=told.get("name")
            )
        return layers

    def _sparse_model(self) -> tuple[keras.Model, dict[str, TicketEmbedding]]:
        """A model of the ticket's configuration, built, and the layers its tables are made like."""
        try:
            layers = self._sparse_layers()
            own = {name: keras.saving.serialize_keras_object(x) for name, x in layers.items()}
            config = {**self.model_config["config"], **own}
            model = keras.saving.deserialize_keras_object({**self.model_config, "config": config})
            if not model.built:
                model.build()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TicketError(
                f"The model of the ticket cannot be made: {error} Import the module that registers "
                "its classes and functions; if it is imported, the ticket is damaged."
            ) from error
        return model, layers

    def _random_entries(self, name: str, mask: np.ndarray) -> np.ndarray:
        """What a new table would hold under its mask, float32 [nnz]."""
        told = self.model_config["config"][name]["config"]["embeddings_initializer"]
        return keras.initializers.get(told)(mask.shape).numpy()[mask]

    @staticmethod
    def _check_fit(weights: dict[str, Any], values: dict[str, np.ndarray], partly: bool) -> None:
        own = {name: tuple(weight.shape) for name, weight in weights.items()}
        told = {name: value.shape for name, value in values.items()}
        missing = set() if partly else set(own) - set(told)
        if wrong := missing | {name for name in told if told[name] != own.get(name)}:
            raise TicketError(
                f"The ticket does not fit its model: see its weights {sorted(wrong)}."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the ticket to one file, without pickle; raises RunError if it cannot."""
        arrays = {"mask_bits": self.mask_bits}
        if self.linear_bits is not None:
            arrays["linear_bits"] = self.linear_bits
        arrays |= {f"initial/{name}": value for name, value in self.initial.items()}
        arrays |= {f"pruned/{name}": value for name, value in self.pruned.items()}
        scalars = ("budget", "nnz", "step", "forced", "dim", "model_config", "facts")
        facts = {name: getattr(self, name) for name in scalars}
        save_state(resolve(path), arrays, {"pep_tf_ticket": _FORMAT, **facts})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a ticket.

        Raises:
            TicketError: a missing, damaged or foreign file, or one that contradicts itself.
        """
        path = resolve(path)
        arrays, facts = load_state(path, "a ticket", TicketError)
        if not isinstance(facts, dict) or facts.pop("pep_tf_ticket", None) != _FORMAT:
            raise TicketError(f"{path} is not a ticket of format {_FORMAT} of this package.")
        try:
            ticket = cls(
                mask_bits=arrays["mask_bits"],
                initial=_below("initial/", arrays),
                pruned=_below("pruned/", arrays),
                linear_bits=arrays.get("linear_bits"),
                **facts,
            )
            told, masks = ticket._shapes(), ticket.masks()
            kept = {name: int(mask.sum()) for name, mask in masks.items()}
            sizes = {sum(kept.values())}
            for weights in (ticket.initial, ticket.pruned):
                sizes.add(sum(len(weights[f"{name}/table"]) for name in kept))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TicketError(f"{path} is damaged: {type(error).__name__} {error}") from error
        if (found := {name: mask.shape for name, mask in masks.items()}) != told:
            raise TicketError(f"{path} is damaged: masks of {found} for tables of {told}.")
        if sizes != {ticket.nnz}:
            raise TicketError(f"{path} is damaged: it says nnz={ticket.nnz} but holds {sizes}.")
        return ticket

    def _shapes(self) -> dict[str, tuple[int, int]]:
        """Shapes of the pruned tables by the configuration of the model."""
        layers = {n: self.model_config["config"].get(n) for n in (EMBEDDING, FIRST_ORDER)}
        tables = {name: layer["config"] for name, layer in layers.items() if layer}
        return {
            name: (table["input_dim"], table["output_dim"])
            for name, table in tables.items()
            if name == EMBEDDING or table.get("pruning") == "threshold"
        }

    def check_data(self, data: CTRData) -> None:
        """Makes sure that the ticket's entries mean the same features in `data`.

        Raises:
            TicketError: other fields, another mapping of features to ids, or another split of the same
                rows than those that the ticket was pruned on.
        """
        self.check_fields(data.schema.size_by_name)
        known = Identity.from_config(self.facts.get("identity"))
        if known is None:
            logging.warning(
                "The ticket of %d entries was made by a version that did not record the mapping of its "
                "data: not compared.",
                self.budget,
            )
        refuse_other_data(
            known,
            data,
            "The ticket",
            "Take the data that it was pruned on, or prune anew.",
            TicketError,
        )

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
