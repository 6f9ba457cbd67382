"""One body for the lookups of all tables of a form, of which a graph then has a call each."""

import functools
import json
from typing import Any

import tensorflow as tf

from pep_tf.tables.packed.stored_table import StoredTable

_COUNTS = ("num_rows", "nnz", "bound_bytes")  # facts that a lookup does not depend on


def shared_lookup(table: StoredTable, rows: tf.Tensor) -> tf.Tensor:
    """`table.lookup(rows)`, whose operations a graph holds once for all tables of the same form.

    Args:
        table: over tensors.
        rows: int32 [n], each in [0, N).
    """
    if tf.executing_eagerly():
        return table.lookup(rows)
    facts = {name: fact for name, fact in table.facts.items() if name not in _COUNTS}
    parts = [(k, v.dtype, tuple(v.shape[1:])) for k, v in sorted(table.arrays.items())]
    form: Any = type(table)
    body = _body(form, json.dumps({**facts, "dim": table.dim}), tuple(parts))
    return body(rows, *(table.arrays[name] for name, *_ in parts))


@functools.lru_cache(maxsize=64)
def _body(form: Any, facts: str, parts: tuple[tuple[Any, ...], ...]) -> Any:
    """The lookup as a function of rows and arrays, however long these are."""
    known = {**dict.fromkeys(_COUNTS, 0), **json.loads(facts)}

    def lookup(rows: tf.Tensor, *arrays: tf.Tensor) -> tf.Tensor:
        named = {name: array for (name, *_), array in zip(parts, arrays, strict=True)}
        return form(named, known).lookup(rows)

    specs = [tf.TensorSpec([None, *shape], dtype) for _, dtype, shape in parts]
    with tf.init_scope():
        function = tf.function(lookup, autograph=False)
        return function.get_concrete_function(tf.TensorSpec([None], tf.int32), *specs)
