"""A small table as it is stored: the numbers of its tables, and nothing to say where they are."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import tensorflow as tf

from pep_tf.tables.packed.pack import FORMS
from pep_tf.tables.packed.stored_table import Arrays, StoredTable
from pep_tf.tables.packed.values import Values
from pep_tf.tables.small import SCHEMES
from pep_tf.tables.small.scheme import Scheme


class SmallTable(StoredTable):
    """Rows made of small tables' rows on lookup.

    Args:
        arrays: of each table its rows behind one of zeros, see `Values`.
        facts: `scheme` and its `config`, and `units` of the arrays, besides those of every form.
    """

    def __init__(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        super().__init__(arrays, facts)
        self._scheme = SCHEMES[facts["scheme"]](**facts["config"])

    @classmethod
    def of(cls, scheme: Scheme, tables: Mapping[str, np.ndarray], dtype: str) -> Self:
        """Stores tables float32 by name; see `Values` for `dtype`."""
        arrays: dict[str, np.ndarray] = {}
        units: dict[str, float] = {}
        for name, table in tables.items():
            encoded, units[name] = Values.encode(table, dtype, name)
            arrays |= encoded
        facts = {
            "num_rows": scheme.num_rows,
            "dim": scheme.dim,
            "nnz": scheme.numbers,
            "bound_bytes": 4.0 * scheme.numbers,
            "scheme": scheme.name,
            "config": scheme.get_config(),
            "units": units,
        }
        return cls(arrays, facts)

    @classmethod
    def bytes_of(cls, scheme: Scheme, dtype: str) -> int:
        """Bytes of a scheme's tables as they are stored."""
        zeros = {name: np.zeros(shape, np.float32) for name, shape in scheme.shapes.items()}
        return cls.of(scheme, zeros, dtype).nbytes

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        def at(name: str, places: tf.Tensor) -> tf.Tensor:
            width = self._scheme.shapes[name][1]
            values = Values(self.arrays, name, self.facts["units"][name], width)
            return values.at(places + 1)

        return self._scheme.rows(rows, at)

    def parts(self) -> dict[str, int]:
        return {"values": self._bytes(*self.arrays)}


FORMS[SmallTable.__name__] = SmallTable
