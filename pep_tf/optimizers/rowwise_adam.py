"""Adam with coupled L2 whose step costs what the batch's rows cost, however large the table is."""

from typing import Any

import keras
import tensorflow as tf

from pep_tf.layers import PEPEmbedding
from pep_tf.optimizers.coupled_adam import CoupledAdam
from pep_tf.optimizers.hyper import Hyper
from pep_tf.optimizers.lazy_table import DistinctRows, LazyTable, Slot

DENSE_BELOW = 1 << 20  # entries of a table for which the dense update costs less than finding rows


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
        dense_below: tables of fewer entries (N x d) are updated whole, which is exact.

    Raises:
        ValueError: a schedule or another learning rate later on, constants for which `Hyper` has
            no meaning, or a first step without `attach`.

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
        self._layers: list[PEPEmbedding] = []
        self._tables: dict[int, tuple[LazyTable, Slot]] = {}

    def attach(self, model: keras.Model) -> None:
        """Takes charge of the tables of a built model; call it before the first step."""
        self._attached = True
        found = (x for x in model._flatten_layers() if isinstance(x, PEPEmbedding))
        self._layers = [x for x in found if x.input_dim * x.output_dim >= self.dense_below]
        super().attach(model)

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

    def tables(self) -> list[tuple[LazyTable, Slot]]:
        """The lazily updated weights."""
        return list(self._tables.values())

    def settle(self) -> None:
        """Ends a training: writes every row up to date and leaves the layers to themselves."""
        for lazy in {id(lazy): lazy for lazy, _ in self._tables.values()}.values():
            lazy.settle()

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        if not self._attached:
            raise ValueError("Call `attach(model)` on the built model before its first step.")
        super().build(variables)
        distinct = DistinctRows()
        for layer in self._layers:
            self._adopt(layer, distinct)

    def _adopt(self, layer: PEPEmbedding, distinct: DistinctRows) -> None:
        rate = float(self._learning_rate.numpy())
        weights = [layer.table]
        if layer.thresholds is not None and layer.granularity.by_feature:
            weights.append(layer.thresholds)
        slots = []
        for weight in weights:
            index = self._get_variable_index(weight)
            group = self._group(self._is_threshold[index], rate)
            hyper = Hyper(group[0], group[1], self.beta_1, self.beta_2, self.epsilon, group[2])
            slots.append(Slot(weight, self._m[index], self._n[index], hyper))
        last = self.add_variable((layer.input_dim,), "zeros", "int32", name="last")
        lazy = LazyTable(layer, tuple(slots), last, self.iterations, distinct)
        for slot in slots:
            self._tables[self._get_variable_index(slot.value)] = (lazy, slot)
        layer.source = lazy

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        """Updates one variable; rows of attached tables through their lookup's state."""
        index = self._get_variable_index(variable)
        if index not in self._tables:
            super().update_step(gradient, variable, learning_rate)
            return
        lazy, slot = self._tables[index]
        taken, values = lazy.pending(gradient)
        state = taken.states[lazy.place_of(slot)]
        lazy.write(slot, taken.ids, self._stepped(slot.hyper, state, values))
        if lazy.place_of(slot) == len(lazy.slots) - 1:
            lazy.stamp(taken.ids)

    def _stepped(
        self, hyper: Hyper, state: tuple[tf.Tensor, tf.Tensor, tf.Tensor], gradient: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """One step of Adam on rows: value, m and n after a gradient."""
        value, m, n = state
        size, floor = self._step_size(hyper.learning_rate)
        gradient = gradient + hyper.l2 * (value - hyper.target)
        m = hyper.beta_1 * m + (1 - hyper.beta_1) * gradient
        n = hyper.beta_2 * n + (1 - hyper.beta_2) * tf.square(gradient)
        return value - size * m / (tf.sqrt(n) + floor), m, n

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dense_below": self.dense_below}
