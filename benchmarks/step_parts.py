"""Where the time of a rowwise step goes: the parts around the tower, measured without it."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from benchmarks.clock import timed
from pep_tf.errors import PepError
from pep_tf.layers import look_up_together
from pep_tf.models import CTRModel
from pep_tf.optimizers import CoupledAdam, RowwiseAdam
from pep_tf.optimizers.catch_up import catch_up
from pep_tf.optimizers.lazy_table import LazyTable

Part = Callable[[tf.Tensor], object]


def parts(
    model: CTRModel, optimizer: CoupledAdam, batches: list[tf.Tensor]
) -> dict[str, dict[str, float]]:
    """Medians over batches of milliseconds, and of milliseconds that both cores spend.

    Each part is the difference of two runs that end before and after it, so that no part is seen
    with what it reads already at hand; the catch-up alone is run on rows that were read before.

    Args:
        model: its embedding is updated by rows.
        optimizer: built for it, some steps on its way; the parts change rows and its counter.
        batches: ids int32 [B, F] of each.

    Returns:
        By part: `rows` finds the distinct rows of the batch and reads them, `catch_up` brings them
        up to date, `lookup` thresholds them and copies them to where they are asked for, `gradient`
        takes the gradient back to the distinct rows, `update` does the step and writes them.

    Raises:
        PepError: a model whose weights are not in one table that is updated by rows.
    """
    tables = optimizer.tables() if isinstance(optimizer, RowwiseAdam) else []
    if len(tables) != 1 or model.embedding.table.row_table is not tables[0].table:
        raise PepError(
            "--parts are those of a table that is updated by rows: not of --updates=dense, --kept, or a small one."
        )
    (table,) = tables
    found: dict[str, list[tuple[float, float]]] = {}
    runs = dict(_runs(model, optimizer, table))
    for ids in batches:
        rows = model.field_ids(ids)
        runs["catch_up"] = _catch_up(table, rows)
        for name, run in runs.items():
            found.setdefault(name, []).append(timed(lambda run=run, rows=rows: run(rows)))
    median = {name: 1e3 * np.median(times[2:], axis=0) for name, times in found.items()}
    spent = {
        "rows": median["read"] - median["catch_up"],
        "catch_up": median["catch_up"],
        "lookup": median["forward"] - median["read"],
        "gradient": median["backward"] - median["forward"],
        "update": median["update"] - median["read"],
    }
    return {
        name: {"ms": round(float(wall), 2), "cpu_ms": round(float(cpu), 2)}
        for name, (wall, cpu) in spent.items()
    }


def _runs(model: CTRModel, optimizer: RowwiseAdam, table: LazyTable) -> Iterator[tuple[str, Part]]:
    """Rows of a batch to what is reached after one part more."""
    weights = [variable.raw for variable in table.table.variables]

    def read(rows: tf.Tensor) -> list[tf.Tensor]:
        found = table.find(rows, distinct=False)
        return [found.state.p, found.state.moments]

    def looked_up(rows: tf.Tensor) -> list[tf.Tensor]:
        return look_up_together(model.same_rows, rows)

    def forward(rows: tf.Tensor) -> list[tf.Tensor]:
        return looked_up(rows)

    def backward(rows: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            outputs = looked_up(rows)
        gradients = tape.gradient(outputs, weights, outputs)
        return outputs + [gradient.values for gradient in gradients]

    def update(rows: tf.Tensor) -> None:
        found = table.find(rows, distinct=False)
        scale, floor = optimizer._step_size(1.0)
        table.apply_gradient(found.state, [1e-6 * own for own in found.values], scale, floor)
        optimizer.iterations.assign_add(1)

    for run in (read, forward, backward, update):
        yield run.__name__, tf.function(run, autograph=False)


def _catch_up(table: LazyTable, rows: tf.Tensor) -> Part:
    """The catch-up of these rows alone, on what is read here."""
    ids = table.find(rows, distinct=False).ids
    stored = tf.concat([tf.gather(variable.raw, ids) for variable in table.table.variables], 1)
    state = (stored, tf.gather(table.moments.raw, ids))
    last = tf.bitcast(tf.gather(table.last.raw, ids), tf.int32)
    now = tf.cast(table._steps._value, tf.int32)
    return lambda _: catch_up(*state, last, now, table.columns)
