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
        arrays: of each table that is stored its rows behind one of zeros, see `Values`; and codes.
        facts: `scheme` and its `config`, and `units` of the arrays, besides those of every form.
    """

    def __init__(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        super().__init__(arrays, facts)
        self._scheme = SCHEMES[facts["scheme"]](**facts["config"])

    @classmethod
    def of(cls, scheme: Scheme, tables: Mapping[str, np.ndarray], dtype: str) -> Self:
        """Stores trained tables float32 by name; see `Values` for `dtype`."""
        arrays, units = _numbers({name: tables[name] for name in scheme.stored}, dtype)
        facts = {
            "num_rows": scheme.num_rows,
            "dim": scheme.dim,
            "nnz": scheme.numbers,
            "bound_bytes": 4.0 * scheme.numbers,
            "scheme": scheme.name,
            "config": scheme.get_config(),
            "units": units,
        }
        return cls(arrays | scheme.codes(tables), facts)

    @staticmethod
    def bytes_of(scheme: Scheme, dtype: str) -> int:
        """Bytes of a scheme's tables as they are stored."""
        zeros = {name: np.zeros(shape, np.float32) for name, shape in scheme.stored.items()}
        return sum(x.nbytes for x in _numbers(zeros, dtype)[0].values()) + scheme.code_bytes

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        def at(name: str, places: tf.Tensor) -> tf.Tensor:
            width = self._scheme.stored[name][1]
            values = Values(self.arrays, name, self.facts["units"][name], width)
            return values.at(places + 1)

        return self._scheme.served(rows, at, self.arrays)

    def parts(self) -> dict[str, int]:
        return {"values": self._bytes(*self.arrays)}


def _numbers(
    tables: Mapping[str, np.ndarray], dtype: str
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The arrays of tables, and the unit of each."""
    arrays: dict[str, np.ndarray] = {}
    units: dict[str, float] = {}
    for name, table in tables.items():
        encoded, units[name] = Values.encode(table, dtype, name)
        arrays |= encoded
    return arrays, units


FORMS[SmallTable.__name__] = SmallTable
