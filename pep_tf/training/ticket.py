"""The lottery ticket: which entries of the tables stay, and what everything started from."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import keras
import numpy as np
from absl import logging

from pep_tf import distributed
from pep_tf.data import CTRData, Identity
from pep_tf.data.arrays import as_data
from pep_tf.errors import ModelError, RunError, TicketError
from pep_tf.paths import resolve
from pep_tf.seeding import seeded
from pep_tf.tables.packed.values import StoredAs
from pep_tf.training.build_fn import BuildFn
from pep_tf.training.fit import FitResult
from pep_tf.training.kept_table import KeptTable
from pep_tf.training.layer_state import load_own_files, load_own_weights, own_weights
from pep_tf.training.progress import Reporter
from pep_tf.training.rounded import fit_as_stored, rounded_model
from pep_tf.training.settings import PRUNING_ALONE, Settings, refuse_idle
from pep_tf.training.swap import Blueprint
from pep_tf.training.ticket_file import read_ticket, write_ticket
from pep_tf.training.trained_on import refuse_other_data
from pep_tf.training.weights import joined

# Facts of a ticket: a budget in bytes that it was cut to; how its numbers are stored, where that budget
# or its retraining goes by it; and its `init` where none is given.
BYTE_BUDGET, STORED_DTYPE, STARTS_FROM = "byte_budget", "stored_dtype", "starts_from"
INITS = ("original", "trained", "random")


@dataclasses.dataclass
class Ticket:
    """Masks over the tables of a model, with the weights to start from.

    Attributes:
        budget: entries asked for, of all tables.
        nnz: entries that the masks keep; equal to the budget.
        step: pruning step at which it was cut.
        forced: whether the thresholds alone had not reached the budget.
        tables: what is kept, by table: the layer's name, or the path to it where two have the same.
        initial: weights before pruning, by name; of a pruned table only the kept entries, float32.
        trained: weights when the ticket was cut, in the same form (a table's are those of E).
        blueprint: how the model is made.
        facts: JSON-ready origin: data set, split md5, settings, versions.
        files: `{layer: {name: bytes}}` of what layers keep beside weights, such as a vocabulary.
        budgets: entries asked for of each table, if the budget was by table; else None.
        retrained: the model that `retrain` has trained, None before.
        result: metrics and epochs of the retraining, None before it.
        data: what it was retrained on, None before; gives the export its raw features.

    Example:
        >>> layers = [keras.layers.Embedding(20, 4, name="item"), keras.layers.Dense(1)]
        >>> model = pep_tf.prunable(keras.Sequential([keras.Input((), dtype="int32"), *layers]))
        >>> model.compile(CoupledAdam(0.1), "mse")
        >>> cut = PruneCallback([8], reporter=pep_tf.training.Silent())
        >>> history = model.fit(np.arange(20), np.ones(20), callbacks=[cut], verbose=0)
        >>> cut.tickets[0].save("ticket_8.safetensors")
        >>> ticket = Ticket.load("ticket_8.safetensors")
        >>> ticket.nnz, ticket.mask().shape, ticket.model()(np.array([3])).shape
        (8, (20, 4), TensorShape([1, 1]))
    """

    budget: int
    nnz: int
    step: int
    forced: bool
    tables: dict[str, KeptTable]
    initial: dict[str, np.ndarray]
    trained: dict[str, np.ndarray]
    blueprint: Blueprint
    facts: dict[str, Any]
    files: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)
    budgets: dict[str, int] | None = None
    retrained: keras.Model | None = None
    result: FitResult | None = None
    data: CTRData | None = None
    # `pep_tf.export`, set by `pep_tf.api`: imports run downward only.
    exporter: ClassVar[Callable[..., pathlib.Path]]
    key_exporter: ClassVar[
        Callable[..., pathlib.Path]
    ]  # `pep_tf.export.keys.export_keys`, likewise

    def masks(self) -> dict[str, np.ndarray]:
        """The masks by table, bool [N, d]."""
        return {key: table.mask() for key, table in self.tables.items()}

    def mask(self) -> np.ndarray:
        """The mask of the first table, bool [N, d]."""
        return next(iter(self.masks().values()))

    @property
    def empty_at_cut(self) -> bool:
        """Whether all that it keeps was 0 when it was cut: thresholds had passed its budget at one go."""
        return not any(self.trained[table.weight].any() for table in self.tables.values())

    def model(
        self,
        init: str | None = None,
        build_fn: BuildFn | None = None,
        dtype: StoredAs | None = None,
    ) -> keras.Model:
        """The model with a `TicketEmbedding` of what a mask keeps in place of each pruned table.

        Args:
            init: `"original"`: weights from before pruning (the lottery ticket); `"trained"`: those
                at the cut, where what thresholds had passed already is 0; `"random"`: new ones from
                Keras's global seed, but for what is not trained. None: `"original"`, unless
                `pep_tf.prune` chose another for budgets in bytes.
            build_fn: the function that the model was made by (see `prunable`), where it was and the
                ticket comes from a file.
            dtype: how numbers will be stored, by which `"lsq8"` and `"lsq4"` round them in the forward
                pass; None: as the ticket was cut for.

        Raises:
            ValueError: an unknown `init`.
            RunError: an unknown `dtype`.
            TicketError: a model that cannot be made, or that has another architecture: names the
                layers that differ.

        Example:
            >>> ticket.model("random").count_params() < ticket.mask().size
            True
        """
        init = init or self._init
        if init not in INITS:
            raise ValueError(f"`init` must be one of {list(INITS)}. Received: {init!r}")
        layers = {key: table.layer() for key, table in self.tables.items()}
        with distributed.whole_tables():
            model, found = self._made(layers, build_fn)
            self._start(found, layers, init)
            return rounded_model(
                model, self.facts.get(STORED_DTYPE, "float32") if dtype is None else dtype
            )

    def _start(
        self, found: Mapping[str, keras.layers.Layer], layers: Mapping[str, Any], init: str
    ) -> None:
        """Sets the weights of a model's layers, given by path."""
        values = self.trained if init == "trained" else self.initial
        tables = {table.path: key for key, table in self.tables.items()}
        for path, layer in found.items():
            if path in tables:
                table, like = self.tables[tables[path]], layers[tables[path]]
                random = init == "random"
                entries = table.random_entries() if random else values[table.weight]
                table.load(layer, like, entries)
            else:
                self._load(path, layer, values, init == "random")

    def _made(
        self, layers: Mapping[str, keras.layers.Layer], build_fn: BuildFn | None
    ) -> tuple[keras.Model, Mapping[str, keras.layers.Layer]]:
        """A new model with copies of these layers, and its layers by path."""
        unbuilt = {key: type(x).from_config(x.get_config()) for key, x in layers.items()}
        blueprint = self.blueprint
        if build_fn is not None:
            blueprint = dataclasses.replace(blueprint, config=None, build_fn=build_fn)
        try:
            return blueprint.make(unbuilt)
        except (ModelError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise TicketError(f"The model of the ticket cannot be made: {error}") from error

    def _load(
        self, path: str, layer: keras.layers.Layer, values: Mapping[str, Any], only_fixed: bool
    ) -> None:
        """Sets the weights of a layer other than a pruned table."""
        own = own_weights(layer)
        names = self.blueprint.weights_of(path) or list(own)
        given = {}
        for name, (now, variable) in zip(names, own.items(), strict=True):
            stored, shape = joined(path, name), tuple(variable.shape)
            if only_fixed and getattr(variable, "trainable", False):
                given[now] = variable
            elif stored in values and values[stored].shape == (
                shape or (1,)
            ):  # as a file has a scalar
                given[now] = values[stored].reshape(shape)
            elif stored in values and values[stored].shape == shape:
                given[now] = values[stored]
            else:
                raise TicketError(f"The ticket does not fit its model: see its weights {[stored]}.")
        if given:
            load_own_weights(layer, given)
        load_own_files(layer, self.files.get(path, {}))

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
        own = self._fields
        if own is not None and list(own.items()) != list(fields.items()):
            raise TicketError(
                f"The ticket belongs to a table with the fields {own}, but the data has {fields}. "
                "Use the data set and --features that it was made with."
            )

    @property
    def _fields(self) -> Any:
        """The fields of its model, if it has any."""
        return ((self.blueprint.config or {}).get("config") or {}).get("fields")

    @property
    def _init(self) -> str:
        """Where its weights start from if nothing else is asked for."""
        return self.facts.get(STARTS_FROM, INITS[0])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the ticket to one file, without pickle; raises RunError if it cannot.

        Example:
            >>> ticket.save("ticket.safetensors")
        """
        write_ticket(resolve(path), self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a ticket.

        Raises:
            TicketError: a missing, damaged or foreign file, or one that contradicts itself.

        Example:
            >>> ticket.save("ticket.safetensors")
            >>> Ticket.load("ticket.safetensors").nnz == ticket.nnz
            True
        """
        return cls(**read_ticket(resolve(path)))

    def retrain(
        self,
        data: Any,
        *,
        init: str | None = None,
        dtype: StoredAs | None = None,
        settings: Settings | None = None,
        checkpoint: pathlib.Path | None = None,
        reporter: Reporter | None = None,
        **changes: Any,
    ) -> FitResult:
        """Trains what the masks keep, by the baseline's protocol, for a model of click-through rates.

        Numbers that are stored in `"lsq8"` or `"lsq4"` are then trained further, rounded: see `fit_as_stored`.
        A model of another kind is trained as Keras trains any: `ticket.model()`, `compile`, `fit`.

        Args:
            data: the data that the ticket was pruned on; arrays or a Dataset with the same seed.
            init, dtype: see `model`.
            settings: see `Settings`; its defaults are the paper's.
            checkpoint: file to write to and to go on from.
            reporter: receives the progress.
            **changes: fields of `settings` that differ.

        Returns:
            Metrics and epochs; the model is in `self.retrained`.

        Raises:
            DataError: data that cannot be trained on or scored.
            TicketError: data with other fields, another mapping of features to ids, or another split of
                the same rows than the ticket was pruned on.
            RunError: a loss that is not finite.

        Example:
            >>> ticket.retrain(data, epochs=1).epochs
            1
        """
        refuse_idle(changes, PRUNING_ALONE, "retraining a ticket, which has no thresholds")
        settings = dataclasses.replace(settings or Settings(), **changes)
        data = as_data(data, self._fields, settings.seed)
        self.check_data(data)
        init = init or self._init
        if init == "trained" and self.empty_at_cut:
            logging.warning(
                "All %d entries that the ticket keeps were 0 when it was cut, from where a table may "
                "never leave 0: init='original' starts from the weights before.",
                self.nnz,
            )
        # For dropout, and for random weights, which must not be those that were pruned.
        with seeded(settings.seed + (init == "random")):
            model = self.model(init, dtype="float32")
        if dtype is not None:
            self.facts = {**self.facts, STORED_DTYPE: dtype}
        self.data = data
        self.retrained, self.result = fit_as_stored(
            model,
            data,
            settings,
            self.facts.get(STORED_DTYPE, "float32"),
            stage=f"ticket {self.budget}",
            checkpoint=checkpoint,
            reporter=reporter,
        )
        return self.result

    def export(
        self,
        folder: pathlib.Path | str,
        *,
        dtype: StoredAs | None = None,
        format: str = "savedmodel",
        metadata: Mapping[str, Any] | None = None,
    ) -> pathlib.Path:
        """Writes the retrained model to `<folder>/<version>/` and returns that folder.

        The arguments and errors are those of `pep_tf.export`. The default `dtype` is that of `retrain`, or
        the one in which a budget in bytes was counted, or float32.

        Raises:
            RunError: before `retrain`.

        Example:
            >>> found = ticket.retrain(data, epochs=1)
            >>> ticket.export("served/small", dtype="float16")
            PosixPath('.../served/small/1')
        """
        dtype = dtype or self.facts.get(STORED_DTYPE, "float32")
        model, facts = self._to_export(metadata)
        return type(self).exporter(model, folder, dtype=dtype, format=format, **facts)

    def export_keys(
        self, folder: pathlib.Path | str, *, metadata: Mapping[str, Any] | None = None
    ) -> pathlib.Path:
        """Writes the retrained tables for other systems, by key: one safetensors file per field, and `schema.json`.

        `pep_tf/export/keys.py` describes the arrays.

        Args:
            folder: new or empty.
            metadata: JSON-ready facts for `schema.json`.

        Raises:
            RunError: before `retrain`, or a folder that is not empty or cannot be written.
        """
        model, facts = self._to_export(metadata)
        return type(self).key_exporter(model, folder, **facts)

    def _to_export(self, metadata: Mapping[str, Any] | None) -> tuple[keras.Model, dict[str, Any]]:
        """The retrained model, and the arguments that describe it to an export."""
        if self.retrained is None:
            raise RunError("A ticket must be retrained before it is exported: call `retrain`.")
        card = {"budget": self.budget, "nnz": self.nnz, **self.facts, **(metadata or {})}
        return self.retrained, {"data": self.data, "metadata": card}
