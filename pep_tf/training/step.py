"""One step of training: what the loop repeats and the benchmarks time."""

import contextlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from pep_tf.device import on_gpu
from pep_tf.layers import PEPEmbedding
from pep_tf.models import CTRModel
from pep_tf.optimizers import CoupledAdam, RowwiseAdam
from pep_tf.optimizers.batch_rows import BatchRows
from pep_tf.tables.distinct import Order, wide
from pep_tf.tables.row_table import gradient_of_found


def train_step(
    model: keras.Model,
    optimizer: CoupledAdam,
    ids: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None = None,
    *,
    compiled: bool = True,
) -> tf.Tensor:
    """Logits, loss, gradients, update; to be called inside a `tf.function`.

    Args:
        model: maps ids [B, F] to logits [B, 1].
        optimizer: built for the model.
        ids: integers [B, F].
        labels: float32 [B], 0 or 1.
        weights: float32 [B], how much each row counts; None: all alike.
        compiled: whether XLA may compile the step as a whole, where it is for a GPU.

    Returns:
        float32 scalar: mean binary cross-entropy of the batch, before the update; with weights their
        weighted mean, as Keras's reduction `mean_with_sample_weight`.
    """
    batch = (ids, labels, weights)
    by_row = isinstance(optimizer, RowwiseAdam) and _knows_its_rows(model, optimizer)
    if compiled and on_gpu() and by_row:
        return _compiled_step(model, optimizer, batch)
    with tf.GradientTape() as tape:
        loss = _loss(model, batch)
    variables = model.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)
    return loss


def _loss(model: keras.Model, batch: Sequence[tf.Tensor | None]) -> tf.Tensor:
    ids, labels, weights = batch
    logits = model(ids, training=True)[:, 0]
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    if weights is None:
        return tf.reduce_mean(losses)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))


def _knows_its_rows(model: keras.Model, optimizer: RowwiseAdam) -> bool:
    """Whether all rows that a step changes are those of its ids: no others are looked up."""
    if not isinstance(model, CTRModel):
        return False
    layers = [layer for layer in model.same_rows if isinstance(layer, PEPEmbedding)]
    known = {id(layer.table.row_table) for layer in layers}
    lazy = optimizer.tables()
    return bool(lazy) and all(own.by_row and id(own.table) in known for own in lazy)


def _compiled_step(
    model: CTRModel, optimizer: RowwiseAdam, batch: Sequence[tf.Tensor | None]
) -> tf.Tensor:
    """The step for a GPU: rows are read, XLA makes one program of all that is computed, rows are written.

    It is compiled anew for each number of rows, of which there are few (`capacity`). What XLA cannot
    have on a GPU stays outside: the check of ids, which it would drop, and the writing of rows, which
    must change tables where they are.
    """
    tables = optimizer.tables()
    rows = wide(model.field_ids(batch[0]))
    read = [table.read(rows) for table in tables]
    orders = [Order.of(own.places, own.count, tf.size(own.ids, tf.int64)) for own in read]

    @tf.function(jit_compile=True, autograph=False)
    def program(
        batch: Sequence[tf.Tensor | None], read: Sequence[BatchRows], orders: Sequence[Order]
    ) -> tuple[tf.Tensor, list[tuple[tf.Tensor, tf.Tensor] | None]]:
        variables = model.trainable_variables
        values: dict[int, tf.Tensor] = {}
        with contextlib.ExitStack() as held:
            for table, own, order in zip(tables, read, orders, strict=True):
                found = table.up_to_date(own, own.places, order)
                held.enter_context(table.table.holding(found))
                values |= dict(zip(map(id, table.table.variables), found.values, strict=True))
            with tf.GradientTape() as tape:
                tape.watch(list(values.values()))
                loss = _loss(model, batch)
            gradients = tape.gradient(loss, [values.get(id(v), v) for v in variables])
            for i, variable in enumerate(variables):
                if id(variable) in values and gradients[i] is not None:
                    found = variable.row_table.held
                    gradients[i] = gradient_of_found(variable, found)(gradients[i])
            optimizer.apply(gradients, variables)
        return loss, [table.stepped() for table in tables]

    loss, stepped = program(batch, read, orders)
    for table, own, after in zip(tables, read, stepped, strict=True):
        if after is not None:
            table.write(own, *after)
    return loss
