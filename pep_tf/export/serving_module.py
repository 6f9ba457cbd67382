"""The graph that is served: ids to rows, rows to numbers, numbers to a probability."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.raw import UNKNOWN, RawTransform
from pep_tf.data.schema import FeatureSchema
from pep_tf.export.kept_columns import KeptNumbers
from pep_tf.export.tables import Tables
from pep_tf.export.tower import FrozenTower
from pep_tf.layers.field_ids import combine
from pep_tf.tables.packed import StoredTable


class ServingModule(tf.Module):
    """Lookup and tower as one `tf.Module`, so that each variable is saved once.

    Args:
        schema: fields, sizes, offsets.
        tables: the embedding table and the first-order weights, N rows each.
        tower: the arithmetic after the lookup.
        dtype: how the numbers of the tables are stored.
        transform: raw columns to ids, or None to serve ids alone.
    """

    def __init__(
        self,
        schema: FeatureSchema,
        tables: Tables,
        tower: FrozenTower,
        dtype: str,
        transform: RawTransform | None = None,
    ) -> None:
        super().__init__(name="pep")
        self.tables, self.tower = tables, tower
        self.schema, self.dtype, self.transform = schema, dtype, transform
        columns = schema.column_fields
        self._names = [schema.names[field] for field in columns]
        self._sizes = [schema.sizes[field] for field in columns]
        self._offsets = schema.offsets[columns].tolist()
        self._is_float = schema.is_float
        self._specs = {
            "ids": tf.TensorSpec([None, sum(~self._is_float)], tf.int32, name="ids"),
            "values": tf.TensorSpec([None, sum(self._is_float)], tf.float32, name="values"),
        }
        if not self._is_float.any():
            del self._specs["values"]

    @property
    def table(self) -> StoredTable:
        return self.tables.table

    @property
    def first_order(self) -> StoredTable | None:
        return self.tables.first_order

    def signatures(self) -> dict[str, Any]:
        """The functions to save by name: `ids`, and `serving_default` on raw columns if it can."""
        # Nothing here is Python to be turned into a graph, and looking for it takes seconds.
        from_ids = tf.function(lambda **inputs: self._from_ids(**inputs), autograph=False)
        ids = from_ids.get_concrete_function(**self._specs)
        if self.transform is None:
            return {"serving_default": ids, "ids": ids}
        columns = self.transform.raw_columns().items()
        spec = {name: tf.TensorSpec([None], column.dtype, name=name) for name, column in columns}
        from_raw = tf.function(self._from_raw, autograph=False)
        return {"serving_default": from_raw.get_concrete_function(**spec), "ids": ids}

    def inputs(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        """What the signature `ids` takes for ids int32 [n, C] as models do: numbers in a tensor of their own."""
        if not self._is_float.any():
            return {"ids": ids}
        values = np.ascontiguousarray(ids[:, self._is_float]).view(np.float32)
        return {"ids": ids[:, ~self._is_float], "values": values}

    def _from_ids(self, ids: tf.Tensor, values: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return self.answer(*self.rows(self._in_order(ids, values)), values)

    def _in_order(self, ids: tf.Tensor, values: tf.Tensor | None) -> tf.Tensor:
        """Ids [B, C] with a column for each number: 0, or -1, which is no id, where it is not finite."""
        if values is None:
            return ids
        with tf.control_dependencies([_refuse_lengths({"ids": ids, "values": values})]):
            finite = tf.abs(values) <= values.dtype.max
        parts = [tf.where(finite, 0, -1), tf.ensure_shape(ids, self._specs["ids"].shape)]
        order = np.argsort(np.argsort(~self._is_float, kind="stable"))
        return tf.gather(tf.concat(parts, axis=1), order.astype(np.int32), axis=1)

    def _from_raw(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        assert self.transform is not None
        with tf.control_dependencies([_refuse_lengths(raw)]):
            ids, values = self.transform(raw), None
        if self._is_float.any():
            values = tf.bitcast(tf.boolean_mask(ids, self._is_float, axis=1), tf.float32)
            ids = tf.where(self._is_float, 0, ids)
        known = ids != UNKNOWN
        # An unknown value is looked up as id 0; its numbers become zeros after the lookup.
        rows = self.rows(tf.where(known, ids, 0))
        return {"probability": self.answer(*rows, values, known)["probability"]}

    def lite_function(self) -> Any:
        """`ids` for LiteRT, which has no assertions: there a bad id makes the lookup fail."""

        def answer(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            values = inputs.get("values")
            rows = self._lite_rows(self._in_order(inputs["ids"], values))
            return self.answer(rows, rows.op, values)

        return tf.function(answer, autograph=False).get_concrete_function(**self._specs)

    def rows(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Operation]:
        """Table rows int32 [B, F] of per-field ids, and a check that fails if an id is out of range."""
        # BiasAdd, unlike +, refuses a batch of another width instead of stretching it.
        rows = tf.nn.bias_add(ids, tf.constant(self._offsets, tf.int32))
        return rows, self._refuse_any(self._outside(ids), ids).op

    def _lite_rows(self, ids: tf.Tensor) -> tf.Tensor:
        bad = tf.reduce_max(tf.cast(self._outside(ids), tf.int32), axis=1)
        # The one number of this table is at place 0; place 1 is out of range.
        zeros = tf.gather(tf.constant([0]), bad)
        # A lookup of the columns as well, since + would stretch a batch of one column.
        columns = tf.gather(ids, tf.range(len(self._sizes)), axis=1)
        return columns + tf.constant(self._offsets, tf.int32) + tf.expand_dims(zeros, 1)

    def _outside(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.logical_or(ids < 0, ids >= tf.constant(self._sizes, tf.int32))

    def answer(
        self,
        rows: tf.Tensor,
        check: tf.Operation,
        values: tf.Tensor | None = None,
        known: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """`probability` and `logit`, float32 [B], of table rows int32 [B, C] that `check` passes.

        `values` are those of numbers. Where `known`, bool [B, C], is False, the feature adds nothing.
        """

        def by_field(found: tf.Tensor) -> tf.Tensor:
            found = tf.reshape(found, [-1, rows.shape[1], found.shape[1]])
            found = found if known is None else tf.where(known[:, :, tf.newaxis], found, 0.0)
            return combine(self.schema.fields, found, weights) if self.schema.combines else found

        weights = tf.cast(rows != tf.constant(self._offsets, tf.int32), tf.float32)
        if values is not None:
            places = np.maximum(np.cumsum(self._is_float) - 1, 0).astype(np.int32)
            weights = tf.where(self._is_float, tf.gather(values, places, axis=1), weights)
        embedded, first_order = self.tables.look_up(rows, check)
        linear = None if first_order is None else by_field(first_order)
        logit = self.tower(by_field(embedded), linear, self._kept_numbers(rows, check, known))
        return {"probability": tf.sigmoid(logit), "logit": logit}

    def _kept_numbers(
        self, rows: tf.Tensor, check: tf.Operation, known: tf.Tensor | None
    ) -> KeptNumbers | None:
        """See `Tables.kept_numbers`; None where the tower picks them from the embeddings."""
        numbers = self.tables.kept_numbers(rows, check)
        if numbers is None or known is None:
            return numbers
        return self.tables.kept.where(known, numbers)

    def _refuse_any(self, outside: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        def refuse() -> tf.Tensor:
            row, field = tf.unstack(tf.where(outside)[0])
            message: list[Any] = [
                "`ids` must be in [0, size of the field), `values` finite. Received an id of field",
                tf.gather(tf.constant(self._names), field),
                "of size",
                tf.gather(tf.constant(self._sizes), field),
                "that is",
                ids[row, field],
                "in row",
                row,
            ]
            with tf.control_dependencies([tf.debugging.Assert(False, message)]):
                return tf.constant(False)

        # The message is computed in the branch, so that a good request does not pay for it.
        return tf.cond(tf.reduce_any(outside), refuse, lambda: tf.constant(True))


def _refuse_lengths(columns: Mapping[str, tf.Tensor]) -> tf.Operation:
    """Fails the request, by the name of a column, where columns hold different numbers of rows."""
    names, lengths = list(columns), tf.stack([tf.shape(column)[0] for column in columns.values()])

    def refuse() -> tf.Tensor:
        place = tf.where(lengths != lengths[0])[0, 0]
        message = [
            "Columns of a request must have as many rows each. Received:",
            *(tf.gather(names, place), lengths[place], "rows, beside", names[0], lengths[0]),
        ]
        with tf.control_dependencies([tf.debugging.Assert(False, message)]):
            return tf.constant(False)

    differ = tf.reduce_any(lengths != lengths[0])
    return tf.cond(differ, refuse, lambda: tf.constant(True)).op
