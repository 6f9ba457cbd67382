"""What workers that share a batch send each other once they have gradients: sums, and rows of tables."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pep_tf.distributed import Group
from pep_tf.distributed.group import bits_of, ids_of
from pep_tf.tables import Found, RowVariable
from pep_tf.tables.distinct import distinct, summed
from pep_tf.tables.sharded_table import is_sharded
from pep_tf.tables.soft_threshold import threshold_gradient


def summed_gradients(
    group: Group, loss: tf.Tensor, gradients: Sequence[Any], variables: Sequence[keras.Variable]
) -> tuple[tf.Tensor, list[Any]]:
    """Loss and gradients of the whole batch, the same bits on every worker.

    For a table each worker sends the rows of its part of the batch, once each. Nothing is sent for
    sharded tables, as their owners have the gradients already, nor for thresholds that were looked up
    with the entries they cut, as their gradients follow from those. All else is one message.

    Args:
        group: the workers.
        loss: this worker's part of it.
        gradients: of this worker's part, for each variable, or None.
        variables: those of the model that are trained.
    """
    total = list(gradients)
    whole = [
        i
        for i, gradient in enumerate(gradients)
        if gradient is not None
        and not isinstance(gradient, tf.IndexedSlices)
        and not is_sharded(variables[i])
    ]
    loss, *sums = group.sum([loss, *(gradients[i] for i in whole)])
    for i, gradient in zip(whole, sums, strict=True):
        total[i] = gradient
    by_table: dict[Any, list[int]] = {}
    for i, (gradient, variable) in enumerate(zip(gradients, variables, strict=True)):
        if isinstance(gradient, tf.IndexedSlices) and not is_sharded(variable):
            table = variable.row_table if isinstance(variable, RowVariable) else i
            by_table.setdefault(table, []).append(i)
    for at in by_table.values():
        own = [gradients[i] for i in at]
        found = getattr(own[0], "found", None)
        if found is not None and all(getattr(g, "found", None) is found for g in own):
            exchanged = _rows_of_table(group, found, [variables[i] for i in at], own)
        else:
            exchanged = [_rows(group, gradient) for gradient in own]
        for i, gradient in zip(at, exchanged, strict=True):
            total[i] = gradient
    return loss, total


def _rows_of_table(
    group: Group,
    found: Found,
    variables: Sequence[RowVariable],
    gradients: Sequence[tf.IndexedSlices],
) -> list[tf.IndexedSlices]:
    """Exchanges the rows of variables that were looked up together, in one message."""
    sent = [i for i, variable in enumerate(variables) if variable.cut is None]
    count = found.state.count
    values = tf.concat([gradients[i].values for i in sent], 1)[:count]
    ids, rows = _gathered(group, found.ids[:count], values)
    union = tf.sort(tf.unique(ids).y)
    table = variables[0].row_table
    assert table.keeper is not None
    again = table.keeper.find(union, True)
    at = tf.gather(again.places, tf.searchsorted(union, ids, out_type=union.dtype))
    sums = summed(rows, at, tf.size(again.ids))
    parts = tf.split(sums, [int(gradients[i].values.shape[1]) for i in sent], axis=1)
    total = {table.place(variables[i]): part for i, part in zip(sent, parts, strict=True)}
    slices = []
    for variable, gradient in zip(variables, gradients, strict=True):
        place, cut = table.place(variable), variable.cut
        if cut is not None:
            of = table.place(cut.table)
            total[place] = threshold_gradient(
                again.values[of], again.values[place], cut.gate, total[of]
            )
        slices.append(tf.IndexedSlices(total[place], again.ids, gradient.dense_shape))
        slices[-1].found = again
    return slices


def _rows(group: Group, gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """Sums the gradients of a variable that is updated whole, by its distinct rows, over all workers."""
    width = gradient.values.shape[-1]
    ids, places = distinct(tf.reshape(gradient.indices, [-1]))
    sums = summed(tf.reshape(gradient.values, [-1, width]), places, tf.size(ids))
    ids, rows = _gathered(group, ids, sums)
    return tf.IndexedSlices(rows, ids, gradient.dense_shape)


def _gathered(group: Group, ids: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Ids [U] and rows float32 [U, C] of all workers: ids travel as the bits of a column."""
    both = group.gather_rows(tf.concat([bits_of(ids)[:, None], rows], 1))
    return ids_of(both[:, 0], ids.dtype), both[:, 1:]
