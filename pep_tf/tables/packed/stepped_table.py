"""A table whose numbers were rounded while they were trained: whole numbers, and a step per field and column."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from pep_tf.tables.packed.entries import Entries
from pep_tf.tables.packed.field_columns import survivors
from pep_tf.tables.packed.octets import take
from pep_tf.tables.packed.pack import FORMS, pack
from pep_tf.tables.packed.stored_table import Arrays, StoredTable, facts_of
from pep_tf.tables.packed.values import Values, nearest_steps, whole_numbers


class SteppedTable(StoredTable):
    """Whole numbers in another form, and what one of them stands for in each column of each field.

    Steps of columns in which a field has no entry are not stored.

    Args:
        arrays: those of the other form, and `steps`, see `Values`.
        facts: `form` and `inner`, name and facts of the other form; `field_sizes`; `columns` of each field
            that have a step; and `unit` of the steps, besides those of every form.

    Example:
        >>> table = SteppedTable.of([np.float32([[1, -7], [0, 3]])], np.float32([[0.5, 0.25]]), "lsq4")
        >>> table.lookup(tf.constant([1, 0])).numpy().tolist()
        [[0.0, 0.75], [0.5, -1.75]]
    """

    def __init__(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        super().__init__(arrays, facts)
        inner = {name: array for name, array in self.arrays.items() if name != "steps"}
        self._inner = FORMS[facts["form"]](inner, facts["inner"])
        self._places = np.zeros((len(facts["columns"]), self.dim), np.int32)
        place = 1
        for field, columns in enumerate(facts["columns"]):
            self._places[field, columns] = range(place, place + len(columns))
            place += len(columns)

    @classmethod
    def of(
        cls,
        codes: Iterable[np.ndarray] | Entries,
        steps: np.ndarray,
        dtype: str,
        field_sizes: Sequence[int] | None = None,
    ) -> Self:
        """Stores a table; its arrays are NumPy's.

        Args:
            codes: row blocks of whole numbers, float32 [n_i, d] in order; or their `Entries`.
            steps: float32 [F, d], each a float16.
            dtype: "lsq8" or "lsq4".
            field_sizes: rows of each field; None for a table of one field.
        """
        entries = codes if isinstance(codes, Entries) else Entries.of(codes)
        inner = pack(entries, dtype=dtype, field_sizes=field_sizes)
        sizes = list(field_sizes or [entries.num_rows])
        used = survivors(entries, sizes)
        arrays, unit = Values.encode(steps[used], "float16", "steps")
        facts = {
            **facts_of(entries),
            "form": type(inner).__name__,
            "inner": inner.facts,
            "field_sizes": sizes,
            "columns": [np.flatnonzero(own).tolist() for own in used],
            "unit": unit,
        }
        return cls(inner.arrays | arrays, facts)

    @classmethod
    def nearest(cls, entries: Entries, field_sizes: Sequence[int]) -> Self:
        """Of numbers that were not rounded in training, in 4 bits.

        Steps are those by which the numbers of a field and column are nearest to the stored ones, by
        squares; an error counts by the square of how many entries its row has, since the rows that
        keep most are those looked up most.

        Args:
            entries: of the table.
            field_sizes: rows of each field, N in all.
        """
        fields, steps = np.repeat(np.arange(len(field_sizes)), field_sizes), np.zeros(0)
        kept = np.zeros(entries.num_rows)
        bits = np.unpackbits(entries.masks(), axis=1, count=entries.dim, bitorder="little")
        kept[entries.places] = bits.sum(axis=1)

        def rounded(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
            nonlocal steps
            groups, weights = fields[rows] * entries.dim + columns, np.square(kept[rows])
            steps = nearest_steps(values, groups, weights, len(field_sizes) * entries.dim)
            return whole_numbers(values, steps[groups])

        codes = entries.mapped(rounded)
        return cls.of(codes, steps.reshape(len(field_sizes), -1), "lsq4", field_sizes)

    def parts(self) -> dict[str, int]:
        found = self._inner.parts()
        return {**found, "values": found["values"] + self._bytes("steps")}

    def stored_widths(self) -> np.ndarray | None:
        return self._inner.stored_widths()

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        steps = Values(self.arrays, "steps", self.facts["unit"]).at(tf.constant(self._places))
        ends = tf.constant(np.cumsum(self.facts["field_sizes"])[:-1], tf.int32)
        fields = tf.reduce_sum(tf.cast(tf.expand_dims(rows, 1) >= ends, tf.int32), axis=1)
        return self._inner.lookup(rows) * take(steps, fields)


FORMS[SteppedTable.__name__] = SteppedTable
