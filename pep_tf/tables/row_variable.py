"""A weight with one row per feature, whose rows an optimizer may leave behind until they are needed."""

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from pep_tf.tables.pull import Pull
    from pep_tf.tables.row_table import Keeper, RowTable

# By this method an optimizer of Keras's takes charge of a variable, as the `tf.Variable` that it is.
_KEY_OF_A_KERAS_OPTIMIZER = "_var_key"


class Cut(NamedTuple):
    """Marks thresholds: entries of `table` below the gate's values are zero."""

    table: "RowVariable"
    gate: Callable[[tf.Tensor], tf.Tensor]


class RowVariable(keras.Variable):
    """A Keras variable [N, d] that belongs to a `RowTable`.

    An optimizer that updates only the rows of a batch leaves the others as they were when a batch
    last held them. Whoever reads the variable gets every row up to date all the same: `numpy()`,
    `value`, `get_weights`, weight files and checkpoints, without changing a bit of what training goes
    on from. What is assigned counts as up to date, and what was pending is dropped.

    Args:
        *args, **kwargs: as for `keras.Variable`.

    Attributes:
        pull: what pulls its values to a target, of thresholds; else None.
        cut: what these do, which has no part in a gradient of `table` but through them; else None.
    """

    pull: "Pull | None" = None
    cut: Cut | None = None
    _row_table: "RowTable | None" = None

    @property
    def row_table(self) -> "RowTable":
        """The table that it belongs to."""
        assert self._row_table is not None, "a layer makes a table of its variables"
        return self._row_table

    @row_table.setter
    def row_table(self, table: "RowTable") -> None:
        self._row_table = table

    @property
    def _keeper(self) -> "Keeper | None":
        return None if self._row_table is None else self._row_table.keeper

    @property
    def raw(self) -> tf.Variable:
        """The stored rows, each as of the step at which it was last updated."""
        return self._value

    @property
    def handle(self) -> tf.Tensor:
        # The resource that gradients are for, whatever `value` gives.
        value = self._value
        mirrored = isinstance(value, tf.distribute.DistributedValues)
        if mirrored and tf.distribute.in_cross_replica_context():  # where Keras finds out shapes
            return value._primary.handle
        return value.handle

    def scoped(self) -> Any:
        """What a Keras scope gives in place of the variable (`StatelessScope`, or shapes that are
        inferred before there are weights); None outside of one."""
        found = super().value
        return None if found is self._value else found

    @property
    def value(self) -> Any:
        if (scoped := self.scoped()) is not None:
            return scoped
        keeper = self._keeper
        if keeper is None:
            return self._value
        if sys._getframe(1).f_code.co_name == _KEY_OF_A_KERAS_OPTIMIZER:
            self.row_table.hand_over(None)
            return self._value
        # A graph that is no function's is one that TensorFlow writes to a file, by `_flushed` below.
        if not keeper.behind() or not _eager_or_in_a_function():
            return self._value
        return self.current() if tf.executing_eagerly() else self.row_table.whole(self)

    def current(self) -> tf.Tensor:
        """All rows up to date, [N, d]; the stored rows do not change."""
        keeper = self._keeper
        if keeper and keeper.behind():
            return keeper.current([self])[0]
        return tf.convert_to_tensor(self._value)

    def numpy(self) -> np.ndarray:
        return self.current().numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.numpy(), dtype)

    def _direct_assign(self, value: Any) -> None:
        if keeper := self._keeper:
            keeper.flush()  # of moments too, which then go with what is assigned
        super()._direct_assign(value)

    def assign_raw(self, value: Any) -> None:
        """Sets the stored rows to those of another step, to be followed by the optimizer's state."""
        self._value.assign(value)
        if keeper := self._keeper:
            keeper.changed()

    # What `tf.train.Checkpoint` and `tf.saved_model.save` ask for.

    def _serialize_to_tensors(self) -> dict[str, tf.Tensor]:
        return {"VARIABLE_VALUE": self.current()}

    def _restore_from_tensors(self, restored_tensors: dict[str, tf.Tensor]) -> Any:
        return self._flushed(super()._restore_from_tensors, restored_tensors)

    def _export_to_saved_model_graph(self, *args: Any, **kwargs: Any) -> Any:
        return self._flushed(super()._export_to_saved_model_graph, *args, **kwargs)

    def _write_object_proto(self, *args: Any) -> Any:
        return self._flushed(super()._write_object_proto, *args)

    def _copy_trackable_to_cpu(self, *args: Any) -> Any:
        return self._flushed(super()._copy_trackable_to_cpu, *args)

    def _flushed(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls Keras with `value` as a `tf.Variable` whose rows are all up to date."""
        if keeper := self._keeper:
            # TensorFlow is within a graph of its own here, which a thread of its own is not.
            thread = threading.Thread(target=keeper.flush)
            thread.start()
            thread.join()
        return call(*args, **kwargs)


def _eager_or_in_a_function() -> bool:
    return tf.executing_eagerly() or tf.compat.v1.get_default_graph().building_function
