"""Adam with coupled L2 whose step costs what the batch's rows cost, however large the table is."""

from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from pep_tf import device
from pep_tf.numbers import whole
from pep_tf.optimizers.coupled_adam import CoupledAdam
from pep_tf.optimizers.hyper import Hyper
from pep_tf.optimizers.lazy_table import LazyTable, MomentVariable, Pending, StepVariable
from pep_tf.tables import RowTable, RowVariable

_OF_A_TICKET = (
    4  # as many times more entries among a ticket's, each of which would be a row to find
)
_ROWS = "rows_{}_{}"  # in a weight file: the stored rows of a table's variable
_State = TypeVar("_State", bound=MomentVariable)
_REFUSED = {
    "weight_decay": "it would move rows that the batch does not hold; use `l2`",
    "use_ema": "an average changes with every step, also of rows that the batch does not hold",
    "gradient_accumulation_steps": "gradients of rows would be kept for the whole table",
}


class _FixedRate(keras.Variable):
    """The learning rate as a variable, as Keras has it and saves it; it refuses another value."""

    def assign(self, value: Any) -> Any:
        own, given = float(self.numpy()), float(np.asarray(value, np.float32))
        if given != own:
            raise ValueError(
                f"The learning rate of RowwiseAdam cannot change from {own:g}: rows are brought up to date "
                f"at one rate. Received: {given:g}. Compile the model with a new optimizer, or use CoupledAdam."
            )
        return self


@keras.saving.register_keras_serializable(package="pep_tf")
class RowwiseAdam(CoupledAdam):
    """`CoupledAdam` evaluated lazily on the rows of the embeddings of this package.

    A step reads, updates and writes only the rows that its batch holds. A row that no batch held for
    some steps is first brought to the value that the dense update would have given it by now (see
    `catch_up` for the accuracy), so that lookups see the same values as with `CoupledAdam`; rows that
    are in every batch agree to float32 rounding. Repeated ids are looked up, and updated, once. This
    holds for tables, first-order weights and thresholds with one row per feature. All other variables,
    and tables so small that a whole update costs less, are updated as by `CoupledAdam`.

    The cost of a step grows with the distinct rows of the batch and the logarithm of their gaps, not
    with N; nothing of the table's size is made besides m, n and the last step of each row, which are
    variables of the optimizer. Weights may be read, saved, evaluated or assigned at any moment: what
    is read is up to date. Weight files with the optimizer in them hold the stored rows as well, one
    table more, so that training goes on from them bit for bit.

    Some tables are updated whole at each step, with the same values at a cost of O(N d): those with a
    regularizer or a constraint, those trained under a `tf.distribute` strategy or compiled by XLA
    (`jit_compile` of `compile`, which small tables allow on a GPU), and those read by a function that was
    traced before the optimizer was built (with a warning).

    Args:
        learning_rate: a number.
        *args, **kwargs: as in `CoupledAdam`, but for `weight_decay`, `use_ema` and
            `gradient_accumulation_steps`.
        dense_below: tables of fewer entries are updated whole, which is exact, and so are the
            entries of a ticket below four times as many. Layers that a model always looks up with
            the same rows count as one table. None: what costs less on the device at hand
            (`pep_tf.device.DENSE_BELOW`): 2^20 on a CPU, 2^25 on a GPU.

    Raises:
        ValueError: a schedule or another learning rate later on, an argument of Keras's optimizers
            that has no meaning here, constants for which `Hyper` has no meaning, or a gradient for
            some of the layers that share rows and not for others.

    Example:
        >>> model = build_model("fm", {"user": 100, "item": 1000})
        >>> model.compile(RowwiseAdam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    """

    compiled = False  # whether XLA compiles all of a step, which has no distinct rows then

    def __init__(self, *args: Any, dense_below: int | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("name", "rowwise_adam")
        for name, reason in _REFUSED.items():
            if kwargs.get(name):
                raise ValueError(
                    f"`{name}` is not for RowwiseAdam: {reason}. CoupledAdam takes it."
                )
        super().__init__(*args, **kwargs)
        if not isinstance(self._learning_rate, keras.Variable):
            raise ValueError(
                "`learning_rate` must be a number: a row's skipped steps are made up for later, at "
                f"one rate. Received: {self._learning_rate!r}. Use CoupledAdam for a schedule."
            )
        self._learning_rate.__class__ = _FixedRate  # Keras makes it, and tracks it by then
        own = device.dense_below() if dense_below is None else dense_below
        self.dense_below = whole("dense_below", own, least=0)
        self._lazy: list[LazyTable] = []

    @property
    def learning_rate(self) -> Any:
        """The learning rate, which cannot change."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise ValueError(
            "The learning rate of RowwiseAdam cannot change: rows are brought up to date at one rate. "
            f"Received: {value!r}. Use CoupledAdam."
        )

    def tables(self) -> list[LazyTable]:
        """The tables that are updated lazily."""
        return list(self._lazy)

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        large = self._large_tables(variables)
        self._by_row = {id(v) for table in large for v in table.variables}
        super().build(variables)
        self._lazy = [self._adopted(table) for table in large]

    def _large_tables(self, variables: list[keras.Variable]) -> list[RowTable]:
        """Tables that cost less by rows than whole, and can be updated so."""
        if tf.distribute.has_strategy() or self.compiled:
            return []
        own = {id(variable) for variable in variables}
        tables = {v.row_table: None for v in variables if isinstance(v, RowVariable)}
        return [
            table
            for table in tables
            if table.entries >= max(1, self.dense_below * (_OF_A_TICKET if table.single else 1))
            and all(id(v) in own for v in table.variables)
            and not any(v.regularizer or v.constraint for v in table.variables)
        ]

    def _updated_whole(self, variable: keras.Variable) -> bool:
        return id(variable) not in self._by_row

    def _adopted(self, table: RowTable) -> LazyTable:
        # Perhaps not where the model is trained.
        with tf.device(table.variables[0]._value.device):
            moments = self._state(MomentVariable, "moments", (table.num_rows, 2 * table.width))
            last = self._state(StepVariable, "last", (table.num_rows,))
        return LazyTable(table, self._hyper, moments, last, self.iterations)

    def _state(self, kind: type[_State], name: str, shape: tuple[int, ...]) -> _State:
        variable = kind("zeros", shape=shape, dtype="float32", trainable=False, name=name)
        self._track_variable(variable)
        return variable

    def _hyper(self, variable: keras.Variable) -> Hyper:
        with tf.init_scope():
            rate = float(self._learning_rate.numpy())
        rate, l2, target = self._constants(getattr(variable, "pull", None), rate)
        return Hyper(rate, l2, self.beta_1, self.beta_2, self.epsilon, target)

    def _summed(self, gradients: list[Any], variables: list[keras.Variable]) -> list[Any]:
        """For lazy tables the sums by distinct row, unpadded; other gradients unchanged."""
        place, gradients = {id(v): i for i, v in enumerate(variables)}, list(gradients)
        self._found: dict[int, Pending] = {}  # until `_backend_update_step` comes for them
        for lazy in self._lazy:
            at = [place[id(v)] for v in lazy.table.variables if id(v) in place]
            own = [gradients[i] for i in at]
            if all(gradient is None for gradient in own):
                continue
            self._check_all_are_there(lazy, own)
            if lazy.by_row:
                self._found[id(lazy)], own = lazy.summed(own)
                for i, gradient in zip(at, own, strict=True):
                    gradients[i] = gradient
        return super()._summed(gradients, variables)

    @staticmethod
    def _check_all_are_there(lazy: LazyTable, gradients: list[Any]) -> None:
        missing = [
            variable.path
            for variable, gradient in zip(lazy.table.variables, gradients, strict=True)
            if gradient is None
        ]
        if missing:
            raise ValueError(
                f"Layers of the same rows are updated together, but {missing} had no gradient. "
                "Look all of them up in each step, or give each rows of its own."
            )

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        """Updates rows of the lazy tables together, and other variables one by one."""
        own = {id(v): g for v, g in zip(trainable_variables, grads, strict=True)}
        scale, floor = self._step_size(1.0)
        for lazy in self._lazy:
            gradients = [own.pop(id(variable), None) for variable in lazy.table.variables]
            if gradients[0] is None:
                continue
            if id(lazy) in self._found:
                lazy.apply_gradient(self._found[id(lazy)], gradients, scale, floor)
            else:
                lazy.apply_to_all(gradients, scale, floor)
        rest = [v for v in trainable_variables if id(v) in own]
        if rest:
            super()._backend_update_step([own[id(v)] for v in rest], rest, learning_rate)

    def save_own_variables(self, store: Any) -> None:
        """What training goes on from bit for bit: with tables whose rows may be behind, the stored
        rows too, since the layers' own files hold them up to date."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable._value.numpy()
        for i, lazy in enumerate(self._lazy):
            if lazy.behind():
                for j, variable in enumerate(lazy.table.variables):
                    store[_ROWS.format(i, j)] = variable.raw.numpy()

    def load_own_variables(self, store: Any) -> None:
        own = {key: store[key] for key in store.keys() if key.isdecimal()}  # noqa: SIM118
        super().load_own_variables(own)
        for i, lazy in enumerate(self._lazy):
            for j, variable in enumerate(lazy.table.variables):
                if (key := _ROWS.format(i, j)) in store.keys():  # noqa: SIM118
                    variable.assign_raw(store[key])
            lazy.loaded()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dense_below": self.dense_below}
