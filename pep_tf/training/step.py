"""One step of training: what the loop repeats and the benchmarks time."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from pep_tf import distributed
from pep_tf.device import on_gpu, op_by_op, uses_xla
from pep_tf.distributed import Group
from pep_tf.distributed.share import Share, between_messages, sharing
from pep_tf.layers import PEPEmbedding, TicketEmbedding
from pep_tf.models import CTRModel
from pep_tf.optimizers import CoupledAdam, RowwiseAdam
from pep_tf.optimizers.batch_rows import BatchRows
from pep_tf.optimizers.lazy_table import LazyTable
from pep_tf.tables import Found, RowTable
from pep_tf.tables.distinct import Order, distinct, wide
from pep_tf.tables.picked import Picked
from pep_tf.tables.row_table import gradient_of_found
from pep_tf.training.exchange import summed_gradients
from pep_tf.training.keras_layers import of_a_share

Batch = Sequence[tf.Tensor | None]


def train_step(
    model: keras.Model,
    optimizer: CoupledAdam,
    ids: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None = None,
    *,
    full: int | None = None,
) -> tf.Tensor:
    """Logits, loss, gradients, update; to be called inside a `tf.function`.

    Args:
        model: maps ids [B, F] to logits [B, 1].
        optimizer: built for the model.
        ids: integers [B, F].
        labels: float32 [B], 0 or 1.
        weights: float32 [B], how much each row counts; None: all alike.
        full: on a GPU the number of rows for which XLA compiles a step. Those of other sizes, as the
            last of an epoch, are done op by op, the same up to rounding: a program for each would
            take longer to compile than it saves. None: every number of rows is compiled.

    Returns:
        float32 scalar: mean binary cross-entropy of the batch, before the update; with weights their
        weighted mean, as Keras's reduction `mean_with_sample_weight`.
    """
    batch = (ids, labels, weights)
    group = distributed.current()

    def step() -> tf.Tensor:
        if group is not None:
            return _shared_step(group, model, optimizer, batch)
        return _step(model, optimizer, batch)

    if not (on_gpu() and uses_xla()):
        return step()
    tables = _Tables.of(model, optimizer) if group is None else None

    def compiled() -> tf.Tensor:
        one_program = tables and _compiled_step(model, optimizer, tables, batch)
        return step() if one_program is None else one_program

    def plain() -> tf.Tensor:
        with op_by_op():
            return step()

    return compiled() if full is None else tf.cond(tf.shape(ids)[0] == full, compiled, plain)


def _step(model: keras.Model, optimizer: CoupledAdam, batch: Batch) -> tf.Tensor:
    with tf.GradientTape() as tape:
        loss = mean_loss(model, batch)
    variables = model.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)
    return loss


def _shared_step(
    group: Group, model: keras.Model, optimizer: CoupledAdam, batch: Batch
) -> tf.Tensor:
    """The step of a batch shared by workers; all end with the same numbers."""
    ids, labels, weights = batch
    rows, variables = tf.shape(ids)[0], model.trainable_variables
    count = tf.cast(rows, tf.float32) if weights is None else tf.reduce_sum(weights)
    with sharing(Share.of(group, rows)) as share, of_a_share(model, share):
        own = (
            share.cut(wide(ids)),
            share.cut(labels),
            None if weights is None else share.cut(weights),
        )
        with tf.GradientTape() as tape:
            loss = tf.math.divide_no_nan(tf.reduce_sum(_losses(model, own)), count)
        gradients = tape.gradient(loss, variables)
        loss, gradients = summed_gradients(group, loss, gradients, variables)
        _apply(optimizer, gradients, variables)
    return loss


def _apply(
    optimizer: CoupledAdam, gradients: Sequence[Any], variables: Sequence[keras.Variable]
) -> None:
    """The optimizer's step, for a GPU as one program; rows are written after it, in place."""
    if not (on_gpu() and uses_xla()):
        optimizer.apply(gradients, variables)
        return
    lazy = optimizer.tables() if isinstance(optimizer, RowwiseAdam) else []
    found = [(table, _found(table, gradients, variables)) for table in lazy if table.by_row]
    known = [(table, own) for table, own in found if own is not None]
    of_rows = {id(v) for table, _ in found for v in table.table.variables}
    gradients = [
        gradient if gradient is None or id(v) in of_rows else tf.convert_to_tensor(gradient)
        for gradient, v in zip(gradients, variables, strict=True)
    ]
    places = {v._value.device for v in variables if id(v) not in of_rows}
    if len(known) < len(found) or places - {optimizer.iterations._value.device}:
        optimizer.apply(gradients, variables)
        return

    def update() -> list[tuple[tf.Tensor, tf.Tensor] | None]:
        with contextlib.ExitStack() as held:
            for table, own in known:
                held.enter_context(table.table.holding(own))
            optimizer.apply(gradients, variables)
        return [table.stepped() for table, _ in known]

    now = tf.identity(optimizer.iterations._value)
    for (table, own), after in zip(known, between_messages(update)(), strict=True):
        if after is not None:
            table.write(own.state, now, *after)


def _found(
    table: LazyTable, gradients: Sequence[Any], variables: Sequence[keras.Variable]
) -> Found | None:
    """What the lookup found whose gradients these are; None if there was not just one."""
    own = {id(v) for v in table.table.variables}
    found = [
        getattr(g, "found", None) for g, v in zip(gradients, variables, strict=True) if id(v) in own
    ]
    return found[0] if found and all(one is found[0] for one in found) else None


def mean_loss(model: keras.Model, batch: Batch) -> tf.Tensor:
    """The mean cross-entropy of a batch, by weights where it has some."""
    losses, weights = _losses(model, batch), batch[2]
    if weights is None:
        return tf.reduce_mean(losses)
    return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(weights))


def _losses(model: keras.Model, batch: Batch) -> tf.Tensor:
    """The cross-entropy of each row, times its weight."""
    ids, labels, weights = batch
    return between_messages(_cross_entropies)(model(ids, training=True), labels, weights)


def _cross_entropies(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits[:, 0])
    return losses if weights is None else losses * weights


class _Tables(NamedTuple):
    """The tables that a step looks up and changes with the ids of its batch.

    Attributes:
        by_row: those of which only the rows of the batch are updated.
        whole: those of which all is, each with how it is picked from.
    """

    by_row: list[LazyTable]
    whole: list[tuple[RowTable, Callable[[tf.Tensor, tf.Tensor], Picked]]]

    @classmethod
    def of(cls, model: keras.Model, optimizer: CoupledAdam) -> "_Tables | None":
        """None if other rows than those of the ids may be looked up, or without a GPU."""
        if not isinstance(model, CTRModel):
            return None
        pickers: dict[RowTable, Callable[[tf.Tensor, tf.Tensor], Picked]] = {}
        for layer in model.same_rows:
            if isinstance(layer, PEPEmbedding):
                pickers[layer.table.row_table] = layer.table.row_table.pick
            elif isinstance(layer, TicketEmbedding):
                pickers[layer.entries.row_table] = layer.pick
            elif not layer.supports_jit:
                return None
        by_row = optimizer.tables() if isinstance(optimizer, RowwiseAdam) else []
        if any(not own.by_row or own.table.single or own.table not in pickers for own in by_row):
            return None
        whole = pickers.keys() - {own.table for own in by_row}
        places = {v._value.device for table in whole for v in table.variables}
        if places - {optimizer.iterations._value.device}:
            return None
        return cls(by_row, [(table, pickers[table]) for table in pickers if table in whole])


def _compiled_step(
    model: CTRModel, optimizer: CoupledAdam, tables: _Tables, batch: Batch
) -> tf.Tensor:
    """The step for a GPU: rows are read, one XLA program computes everything, rows are written.

    It is compiled once for each number of distinct rows; `capacity` keeps these few. Three parts stay
    outside XLA: the check of ids, which it would drop; finding distinct rows; and writing rows, which
    must change tables in place.
    """
    rows = wide(model.field_ids(batch[0]))
    read = [table.read(rows) for table in tables.by_row]
    orders = [Order.of(own.places, own.count, tf.size(own.ids, tf.int64)) for own in read]
    picked, picked_places, order = [], None, None
    if tables.whole:
        ids, picked_places = distinct(rows)
        size = tf.size(rows, tf.int64)
        picked = [pick(ids, size) for _, pick in tables.whole]
        order = Order.of(picked_places, tf.size(ids, tf.int64), size)

    @tf.function(jit_compile=True, autograph=False)
    def program(
        batch: Batch,
        read: Sequence[BatchRows],
        orders: Sequence[Order],
        picked: Sequence[Picked],
        picked_places: tf.Tensor | None,
        order: Order | None,
    ) -> tuple[tf.Tensor, list[tuple[tf.Tensor, tf.Tensor] | None]]:
        variables = model.trainable_variables
        values: dict[int, tf.Tensor] = {}
        with contextlib.ExitStack() as held:
            for table, own, own_order in zip(tables.by_row, read, orders, strict=True):
                found = table.up_to_date(own, own.places, own_order)
                held.enter_context(table.table.holding(found))
                values |= dict(zip(map(id, table.table.variables), found.values, strict=True))
            with tf.GradientTape() as tape:
                tape.watch(list(values.values()))
                for (whole, _), own_picked in zip(tables.whole, picked, strict=True):
                    stored = (tf.convert_to_tensor(v.raw) for v in whole.variables)
                    found = Found(
                        picked_places,
                        tuple(own_picked.of_table(value) for value in stored),
                        own_picked.rows,
                        picked_places,
                        order=order,
                    )
                    held.enter_context(whole.holding(found))
                loss = mean_loss(model, batch)
            gradients = tape.gradient(loss, [values.get(id(v), v) for v in variables])
            for i, variable in enumerate(variables):
                if id(variable) in values and gradients[i] is not None:
                    gradients[i] = gradient_of_found(variable, variable.row_table.held)(
                        gradients[i]
                    )
            optimizer.apply(gradients, variables)
        return loss, [table.stepped() for table in tables.by_row]

    loss, stepped = program(batch, read, orders, picked, picked_places, order)
    for table, own, after in zip(tables.by_row, read, stepped, strict=True):
        if after is not None:
            table.write(own, own.now, *after)
    return loss
