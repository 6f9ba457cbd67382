"""A step as it is cut for a GPU, on the CPU, against the step as it is cut for a CPU."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.device import CPU, GPU, traced_for, uses_xla
from pep_tf.layers import GRANULARITIES, PEPEmbedding, look_up_together
from pep_tf.models import CTRModel
from pep_tf.optimizers import RowwiseAdam
from pep_tf.optimizers.batch_rows import capacity
from pep_tf.tables.distinct import Order, distinct, summed, summed_in_order
from pep_tf.training.loop import Loop
from pep_tf.training.step import train_step
from tests import tiny

FIELDS = {"a": 90, "b": 70}
DIM, BATCH, START, RATE = 3, 24, 6000, 1e-3
ROWS, ASKED = sum(FIELDS.values()), BATCH * len(FIELDS)


class AllGranularities(CTRModel):
    """A table of each granularity, all of the same rows."""

    def __init__(self) -> None:
        super().__init__(FIELDS, None, None)
        self.tables = [
            PEPEmbedding(
                ROWS,
                DIM,
                granularity=granularity,
                threshold_init=-4.0,
                field_sizes=list(FIELDS.values()),
                embeddings_initializer=keras.initializers.RandomNormal(0, 0.05, seed=i),
                name=granularity,
            )
            for i, granularity in enumerate(GRANULARITIES)
        ]
        self.bias = self.add_weight(name="bias", shape=(1,), initializer="zeros")

    @property
    def same_rows(self) -> list[keras.layers.Layer]:
        return list(self.tables)

    def call(self, ids: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        a, b = tf.unstack(tf.concat(look_up_together(self.tables, self.field_ids(ids)), -1), axis=1)
        return 100.0 * tf.reduce_sum(a * b, 1, keepdims=True) + self.bias


def trainee(dense_below: int = 0) -> tuple[AllGranularities, RowwiseAdam]:
    """A model in mid-run: rows last touched 1 to 5,000 steps ago, some of them never."""
    model = AllGranularities()
    model.build((None, len(FIELDS)))
    optimizer = RowwiseAdam(RATE, dense_below=dense_below)
    optimizer.build(model.trainable_variables)
    optimizer.iterations.assign(START)
    if dense_below:
        return model, optimizer
    (lazy,) = optimizer.tables()
    rng = np.random.default_rng(1)
    gaps = np.exp(rng.uniform(0, np.log(5000), ROWS)).astype(int)
    gaps[::7] = START
    size = (ROWS, lazy.table.width)
    moments = [rng.normal(0, 1e-4, size), rng.gamma(1, 1e-8, size)]
    lazy.last.assign((START - gaps).astype(np.int32))
    lazy.moments.assign((np.concatenate(moments, 1) * (gaps < START)[:, None]).astype(np.float32))
    return model, optimizer


def batches() -> list[np.ndarray]:
    """A batch of distinct ids only, between two in which a few ids come many times over."""
    rng = np.random.default_rng(2)
    apart = np.stack([rng.permutation(size)[:BATCH] for size in FIELDS.values()], 1)
    few = rng.integers(0, 3, (BATCH, 2))
    often = np.where(np.arange(BATCH)[:, None] < BATCH // 3, few, apart)
    return [often, apart, often[::-1]]


def weights_after(kind: str, dense_below: int) -> tuple[list[float], dict[str, np.ndarray]]:
    model, optimizer = trainee(dense_below)
    labels = tf.constant(np.arange(BATCH) % 2, tf.float32)
    with traced_for(kind):
        step = tf.function(lambda ids, labels: train_step(model, optimizer, ids, labels))
        losses = [float(step(tf.constant(ids, tf.int32), labels)) for ids in batches()]
        stored = [
            v
            for lazy in optimizer.tables()
            for v in (*lazy.table.variables, lazy.moments, lazy.last)
        ]
        kept = {v.path: v.raw.numpy() for v in stored}
    return losses, kept | {v.path: v._value.numpy() for v in model.weights if v.path not in kept}


@pytest.mark.parametrize("dense_below", [0, 10**9])
def test_steps_are_those_of_a_cpu(dense_below: int) -> None:
    (losses, one), (other_losses, other) = (weights_after(kind, dense_below) for kind in (CPU, GPU))
    np.testing.assert_allclose(other_losses, losses, rtol=1e-6)
    assert len(one) == 6 + 6 + 1 + (0 if dense_below else 2)  # V, s, bias; moments and last steps
    thrown = 0
    for (path, a), b in zip(one.items(), other.values(), strict=True):
        if path.endswith("last"):
            np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32))
            continue
        off = np.abs(a - b)
        # A gradient below its own rounding has no sign: Adam then steps either way.
        assert off.max() <= 2 * RATE * len(losses), path
        thrown += int((off > 1e-6 * np.maximum(np.abs(a), 1.0)).sum())
    assert thrown <= 3


def test_gradients_of_rows_are_those_of_a_cpu() -> None:
    """Sums by place, to 1e-6 of the sum of the absolute terms."""
    rng = np.random.default_rng(3)
    rows = tf.constant(rng.zipf(1.3, 500) % 97, tf.int32)
    values = tf.constant(rng.normal(size=(500, 5)), tf.float32)
    with traced_for(GPU):
        ids, places = distinct(rows)
        count = tf.size(ids, tf.int64)
        order = Order.of(places, count, count + 10)
        compiled = tf.function(summed_in_order, jit_compile=True)
        found = compiled(values, order).numpy()
    expected = summed(values, tf.cast(places, tf.int32), tf.size(ids)).numpy()
    terms = summed(tf.abs(values), tf.cast(places, tf.int32), tf.size(ids)).numpy()
    assert (np.abs(found[: len(expected)] - expected) <= 1e-6 * terms).all()
    assert not found[len(expected) :].any()


def test_rows_caught_up_are_those_of_a_cpu() -> None:
    model, optimizer = trainee()
    (lazy,) = optimizer.tables()
    rows = tf.range(ROWS)
    found = {}
    for kind in (CPU, GPU):
        with traced_for(kind):
            state = lazy.find(rows, distinct=True)
            found[kind] = [tf.gather(x, state.places) for x in state.state[2:]]
    stored = [np.concatenate([v.raw for v in lazy.table.variables], 1), lazy.moments.raw.numpy()]
    for before, one, other in zip(stored, found[CPU], found[GPU], strict=True):
        terms = np.abs(before) + np.abs(one - before) + np.max(lazy.columns.target)
        assert (np.abs(one - other) <= 1e-6 * terms).all()


_MANY_BATCHES = """
import numpy as np, tensorflow as tf
from pep_tf.device import GPU, traced_for
from pep_tf.training.step import train_step
from tests import tiny

rng, full = np.random.default_rng(0), 4
model = tiny.model("linear")
optimizer = tiny.settings(updates="rowwise").optimizer(model)
with traced_for(GPU):
    step = tf.function(
        lambda ids, labels: train_step(model, optimizer, ids, labels, full=full),
        input_signature=[tf.TensorSpec([None, 3], tf.int32), tf.TensorSpec([None])],
    )
    for _ in range(200):
        rows, few = rng.choice([full, rng.integers(1, 9)]), rng.integers(1, 7)
        ids = rng.integers(0, np.minimum(list(tiny.FIELDS.values()), few), (rows, 3))
        step(tf.constant(ids, tf.int32), tf.ones([rows]))
print(int(optimizer.iterations))
"""


def test_few_programs_are_compiled_for_many_sizes(tmp_path: pathlib.Path) -> None:
    """Batches of any number of rows, with any number of distinct ones among them."""
    env = {**os.environ, "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"}
    command = [sys.executable, "-c", _MANY_BATCHES]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.stdout == "200\n", done.stderr[-2000:]
    programs = list(tmp_path.glob("*before_optimizations.txt"))
    assert all("program" in path.name for path in programs)  # nothing is compiled beside them
    assert 1 < len(programs) <= 4


def test_a_ticket_is_retrained_as_on_a_cpu() -> None:
    def trained(kind: str) -> list[np.ndarray]:
        with traced_for(kind):
            model = tiny.model("fm", embedding=tiny.ticket())
            optimizer = tiny.settings(updates="rowwise", dense_below=10**9).optimizer(model)
            step = tf.function(lambda ids, labels: train_step(model, optimizer, ids, labels))
            for ids, labels in tiny.DATA.train.batches(64).take(3):
                step(ids, labels)
            return [np.array(weight, np.float64) for weight in model.get_weights()]

    for one, other in zip(trained(CPU), trained(GPU), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


@pytest.mark.parametrize("most", [1, 7, 8, 48, 39_936])
def test_capacity_holds_any_number_of_rows(most: int) -> None:
    counts = np.arange(1, most + 1)
    found = capacity(counts, most).numpy()
    assert (found >= counts).all()
    assert found[-1] == most
    assert len(set(found)) <= 4


def test_the_loop_runs_many_steps_in_one_call() -> None:
    def trained(kind: str) -> tuple[Loop, float, np.ndarray]:
        # An epoch of two batches and one of another size.
        model, settings = tiny.model("linear"), tiny.settings(updates="rowwise", batch_size=80)
        model.bias.assign(
            [0.3]
        )  # at 0 gradients of rows with as many clicks as not are rounding alone
        loop = Loop("fit", model, settings.optimizer(model), tiny.DATA.train, settings)
        with traced_for(kind):
            return loop, loop.run(3), model.first_order.table.numpy()

    (_, loss, table), (loop, other_loss, other) = trained(CPU), trained(GPU)
    assert other_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(other, table, atol=1e-6)
    # Whoever takes the table from here on is not overwritten.
    RowwiseAdam(RATE, dense_below=0).build(loop.model.trainable_variables)
    with pytest.raises(tf.errors.InvalidArgumentError, match="trained by another optimizer"):
        loop.run(2)


class Uncompilable(CTRModel):
    """A model of one's own with an op that XLA has not."""

    def __init__(self) -> None:
        first_order = PEPEmbedding(
            sum(tiny.FIELDS.values()), 1, pruning="none", embeddings_initializer="zeros"
        )
        super().__init__(tiny.FIELDS, None, first_order)

    def interact(self, embedded: None, first_order: tf.Tensor, training: bool = False) -> tf.Tensor:
        read = tf.strings.to_number(tf.strings.as_string(tf.stop_gradient(first_order)))
        return self.linear_term(first_order) + 0 * tf.reduce_sum(read)


def test_what_xla_cannot_compile_is_trained_without_it() -> None:
    model, settings = Uncompilable(), tiny.settings(updates="rowwise")
    model.build((None, len(tiny.FIELDS)))
    optimizer = settings.optimizer(model)
    loop = Loop("fit", model, optimizer, tiny.DATA.train, settings)
    with traced_for(GPU):
        with pytest.warns(UserWarning, match="XLA cannot compile the steps of stage 'fit'") as told:
            loss = loop.run(3)
        loop.run(2)
        assert not uses_xla()  # nor for what is read or evaluated
    assert len(told) == 1
    assert 0.1 < loss < 1
    assert int(optimizer.iterations) == loop.step == loop.batch == 5
