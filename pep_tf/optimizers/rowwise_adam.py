"""Adam with coupled L2 whose step costs what the batch's rows cost, however large the table is."""

from typing import Any

import keras
import tensorflow as tf

from pep_tf.layers import PEPEmbedding, TicketEmbedding
from pep_tf.optimizers.coupled_adam import CoupledAdam
from pep_tf.optimizers.hyper import Hyper
from pep_tf.optimizers.lazy_table import LazyTable, Slot

DENSE_BELOW = 1 << 20  # entries of a table for which the dense update costs less than finding rows
_OF_A_TICKET = 4  # as many times more among a ticket's, each of which would be a row to find


@keras.saving.register_keras_serializable(package="pep_tf")
class RowwiseAdam(CoupledAdam):
    """`CoupledAdam` evaluated lazily on the rows of `PEPEmbedding` layers.

    A step reads, updates and writes only the rows that its batch holds. A row that was last touched
    some steps ago is first brought to where the dense update would have it by now (`catch_up`, which
    says how exactly), so that lookups see the same values as with `CoupledAdam`; rows that are in
    every batch agree to float32 rounding. Repeated ids are looked up, and updated, once. Table,
    first-order weights and thresholds with one row a feature are treated so; all other variables,
    and tables so small that it costs less, are updated as by `CoupledAdam`.

    The cost of a step grows with the distinct rows of the batch and the logarithm of their gaps, not
    with N; nothing of the table's size is made besides m, n and the last step of each row.

    Call `attach(model)` on a built model before `compile` or the first step; the layers then read
    through the optimizer until `settle()` hands the tables back, every row up to date. Until then
    the stored weights are those of each row's last touch: look through the layer
    (`effective_table`, `current`), not at the variable. XLA cannot compile the lookup of a number of
    rows that changes; models with attached layers are therefore not compiled by default. A step must
    be a `tf.function` (as in `fit`): an eager tape fails on the compiled catch-up.

    Args:
        *args, **kwargs: as in `CoupledAdam`; `learning_rate` must be a number.
        dense_below: tables of fewer entries are updated whole, which is exact, and so are the
            entries of a ticket below four times as many. Layers that a model always looks up with
            the same rows (its attribute `same_rows`) count as one table.

    Raises:
        ValueError: a schedule or another learning rate later on, constants for which `Hyper` has
            no meaning, a first step without `attach`, or a gradient for some layers of `same_rows`
            and not for others.

    Example:
        >>> model = build_model("fm", {"user": 100, "item": 1000})
        >>> optimizer = RowwiseAdam(1e-3)
        >>> optimizer.attach(model)
        >>> model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
    """

    def __init__(self, *args: Any, dense_below: int = DENSE_BELOW, **kwargs: Any) -> None:
        kwargs.setdefault("name", "rowwise_adam")
        super().__init__(*args, **kwargs)
        if not isinstance(self._learning_rate, keras.Variable):
            raise ValueError(
                "`learning_rate` must be a number: a row's skipped steps are made up for later, at "
                f"one rate. Received: {self._learning_rate!r}. Use CoupledAdam for a schedule."
            )
        self.dense_below = int(dense_below)
        self._attached = False
        self._groups: list[list[PEPEmbedding]] = []
        self._tables: dict[int, LazyTable] = {}

    def attach(self, model: keras.Model) -> None:
        """Takes charge of the tables of a built model; call it before the first step."""
        self._attached = True
        together, layers = _of_the_same_rows(model), list(model._flatten_layers())
        found = (x for x in layers if isinstance(x, PEPEmbedding))
        apart = [[x] for x in found if not any(x is own for own in together)]
        tickets = [x.entries for x in layers if isinstance(x, TicketEmbedding)]
        self._groups = [group for group in (together, *apart) if self._is_large(group, tickets)]
        super().attach(model)

    def _is_large(self, layers: list[PEPEmbedding], tickets: list[PEPEmbedding]) -> bool:
        """Whether these layers of the same rows cost less by rows than whole."""
        entries = sum(x.input_dim * x.output_dim for x in layers)
        of_a_ticket = any(x is own for x in layers for own in tickets)
        return entries >= max(1, self.dense_below * (_OF_A_TICKET if of_a_ticket else 1))

    @property
    def learning_rate(self) -> Any:
        """The learning rate, which stays what it was at the start."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise ValueError(
            "The learning rate of RowwiseAdam cannot change: rows are brought up to date at one rate. "
            f"Received: {value!r}. Use CoupledAdam."
        )

    def tables(self) -> list[LazyTable]:
        """The lazily updated tables."""
        return list({id(lazy): lazy for lazy in self._tables.values()}.values())

    def settle(self) -> None:
        """Ends a training: writes every row up to date and leaves the layers to themselves."""
        for lazy in self.tables():
            lazy.settle()

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        if not self._attached:
            raise ValueError("Call `attach(model)` on the built model before its first step.")
        super().build(variables)
        for group in self._groups:
            self._adopt(group)

    def _updated_whole(self, variable: keras.Variable) -> bool:
        layers = (layer for group in self._groups for layer in group)
        return not any(variable is own for layer in layers for own in _by_row(layer))

    def _adopt(self, layers: list[PEPEmbedding]) -> None:
        slots = []
        for layer in layers:
            slots += [Slot(weight, layer, self._hyper(weight)) for weight in _by_row(layer)]
        # Gradients come in the order of the variables.
        slots.sort(key=lambda slot: self._get_variable_index(slot.value))
        rows, columns = layers[0].input_dim, 2 * sum(slot.value.shape[1] for slot in slots)
        with tf.device(layers[0].table._value.device):  # perhaps not where the model is trained
            moments = self.add_variable((rows, columns), "zeros", name="moments")
            last = self.add_variable((rows,), "zeros", "int32", name="last")
        lazy = LazyTable(tuple(slots), moments, last, self.iterations)
        for slot in slots:
            self._tables[self._get_variable_index(slot.value)] = lazy

    def _hyper(self, weight: keras.Variable) -> Hyper:
        is_threshold = self._is_threshold[self._get_variable_index(weight)]
        rate, l2, target = self._group(is_threshold, float(self._learning_rate.numpy()))
        return Hyper(rate, l2, self.beta_1, self.beta_2, self.epsilon, target)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """One step for all variables that have a gradient; see `keras.optimizers.Optimizer`."""
        super().apply(grads, trainable_variables)
        for lazy in self.tables():
            if missing := lazy.waits_for():
                raise ValueError(
                    f"Layers of the same rows are updated together, but {missing} had no gradient. "
                    "Leave out of the model's `same_rows` what it does not always look up."
                )

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        """Updates one variable; rows of attached tables through their lookup's state."""
        lazy = self._tables.get(self._get_variable_index(variable))
        if lazy is None:
            super().update_step(gradient, variable, learning_rate)
        else:
            lazy.touch(gradient, *self._step_size(1.0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dense_below": self.dense_below}


def _of_the_same_rows(model: keras.Model) -> list[PEPEmbedding]:
    """Embeddings of a model that are always looked up together, as it says in `same_rows`."""
    found = [x for x in getattr(model, "same_rows", ()) if isinstance(x, PEPEmbedding)]
    return [x for x in found if x.input_dim == found[0].input_dim]


def _by_row(layer: PEPEmbedding) -> list[keras.Variable]:
    """The weights of a layer that have one row a feature."""
    by_feature = layer.thresholds is not None and layer.granularity.by_feature
    return [layer.table, *([layer.thresholds] if by_feature else [])]
