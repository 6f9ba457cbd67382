"""A stored table as variables, each of which is saved once."""

from typing import Generic, TypeVar

import tensorflow as tf

from pep_tf.tables.packed import StoredTable

Stored = TypeVar("Stored", bound=StoredTable)


class TableVariables(tf.Module, Generic[Stored]):
    """Keeps the arrays of a stored table for a graph that is served.

    Args:
        table: of NumPy arrays.
        name: prefix of the variables' names.

    Attributes:
        table: the same, with shapes and types in place of the arrays.
    """

    def __init__(self, table: Stored, name: str) -> None:
        super().__init__(name=name)
        self.arrays = {
            key: tf.Variable(array, trainable=False, name=f"{name}_{key}")
            for key, array in table.arrays.items()
        }
        specs = {key: tf.TensorSpec(v.shape, v.dtype) for key, v in self.arrays.items()}
        self.table: Stored = table.over(specs)

    def read(self) -> Stored:
        """The table over the numbers, for lookups."""
        return self.table.over({key: v.read_value() for key, v in self.arrays.items()})
