"""Time and memory of a training step, at any number of features; prints one JSON object.

    python -m benchmarks.step_time --updates=rowwise --num_features=2000000
    python -m benchmarks.step_time --compare='--updates=rowwise ;; --floor' --pairs=7
    python -m benchmarks.step_time --updates=rowwise --parts
    python -m benchmarks.step_time --cut=gpu --hlo

Ids have Criteo's skew (`pep_tf.data.synthetic`). The run starts at step 100,000 in the steady state of
these ids: each row's last step is drawn from how often it comes, its moments from touches with a
gradient of about 1e-4, so that the gaps which the update has to make up for are real.
"""

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks import hlo
from benchmarks.interleaved import compare
from benchmarks.serving_model import survivor_rates
from benchmarks.step_parts import parts
from pep_tf.command_line import Command
from pep_tf.data.synthetic.row_source import RowSource
from pep_tf.device import CPU, GPU, on_gpu, settle_arithmetic, traced_for
from pep_tf.errors import PepError
from pep_tf.experiments.environment import device
from pep_tf.layers import GRANULARITIES, TicketEmbedding
from pep_tf.models import CTRModel, build_model, models_with, options_among
from pep_tf.optimizers import CoupledAdam, RowwiseAdam
from pep_tf.training import Settings, use_memory_pool
from pep_tf.training.step import train_step

_START = 100_000
_GRADIENT = 1e-4
_SHAPES = {39: "criteo", 22: "avazu"}
AUTO, _CUTS = "auto", {"cpu": CPU, "gpu": GPU}

_COMMAND = Command("benchmarks.step_time", __doc__)
_COMMAND.heading("Step")
_COMMAND.choice("updates", "rowwise", ("rowwise", "dense", "none"), "none: no thresholds")
_COMMAND.real("kept", 0.0, "retrain a ticket that keeps this share", least=0, most=1)
_COMMAND.switch("floor", False, "the tower alone: forward, backward, its Adam")
_COMMAND.choice("model", "deepfm", models_with("embedding"), "the model")
_COMMAND.whole("num_features", 2_000_000, "N", least=1)
_COMMAND.whole("num_fields", 39, "39 (Criteo's fields) or 22 (Avazu's)")
_COMMAND.whole("dim", 24, "embedding dimension", least=1)
_COMMAND.choice("granularity", "feature_dim", GRANULARITIES, "of the thresholds")
_COMMAND.whole("batch_size", 1024, "rows per step", least=1)
_COMMAND.whole("seed", 0, "of ids, weights and moments", least=0)
_COMMAND.heading("Measurement")
_COMMAND.whole("steps", 50, "timed steps", least=1)
_COMMAND.whole("warmup", 10, "steps before them", least=1)
_COMMAND.choice(
    "cut", AUTO, (AUTO, *_CUTS), "of the step: that for a CPU or for a GPU, on any device"
)
_COMMAND.switch("deterministic", True, "the same bits each time, at the cost of speed")
_COMMAND.switch("hlo", False, "also counts what XLA made of the step that is cut for a GPU")
_COMMAND.switch("parts", False, "also says where the time goes that is not the tower's")
_COMMAND.text(
    "compare", None, "settings to compare, flags separated by ';;'", value="'FLAGS ;; FLAGS'"
)
_COMMAND.whole("pairs", 7, "interleaved rounds of --compare", least=1)
_COMMAND.switch("rounds", False, "times steps anew for each line read; used by --compare")
FLAGS = _COMMAND.values

Batches = list[tuple[tf.Tensor, tf.Tensor]]


def measure() -> Iterator[dict[str, Any]]:
    """Times single steps under the settings of the flags, again and again on new batches."""
    dumped = hlo.dump_programs() if FLAGS.hlo else None
    source = RowSource(_SHAPES[FLAGS.num_fields], FLAGS.num_features, FLAGS.seed)
    model = _model(source)
    rng = np.random.default_rng(FLAGS.seed)
    batches = _batches(source, rng, FLAGS.warmup)
    facts: dict[str, Any] = {}
    if FLAGS.floor:
        step = _floor_step(model)
    else:
        optimizer = Settings(updates="dense" if FLAGS.updates == "dense" else "rowwise").optimizer(
            model
        )
        facts = _steady_state(model, optimizer, source, batches[0][0])
        step = tf.function(lambda ids, labels: train_step(model, optimizer, ids, labels))
    facts |= {"device": device(), "cut": GPU if on_gpu() else CPU}
    facts["compile_s"] = round(float(_times(step, batches)[0]), 1)
    if dumped:
        facts["hlo"] = hlo.counted(dumped)
    loop = _loop(step, batches)
    _ms_in_a_loop(loop, _batches(source, rng, FLAGS.warmup))
    while True:
        timed = _times(step, _batches(source, rng, FLAGS.steps)) * 1e3
        if FLAGS.parts:
            ids = [ids for ids, _ in _batches(source, rng, FLAGS.steps)]
            facts["parts"] = parts(model, optimizer, ids)
        yield {
            "ms_per_step": round(float(np.median(timed)), 2),
            "ms_per_step_in_a_loop": _ms_in_a_loop(loop, _batches(source, rng, FLAGS.steps)),
            "ms_quartiles": np.quantile(timed, [0.25, 0.75]).round(2).tolist(),
            "examples_per_s": round(FLAGS.batch_size / float(np.median(timed)) * 1e3),
            "gpu_memory_mb": _gpu_memory_mb(),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            **facts,
            "settings": {name: FLAGS[name].value for name in _SETTINGS},
        }


def _model(source: RowSource) -> CTRModel:
    options: dict[str, Any] = {"embedding_dim": FLAGS.dim, "pruning": "none"}
    if FLAGS.kept:
        options = {"embedding": _ticket_embedding(source)}
    elif FLAGS.updates != "none":
        options = {
            "embedding_dim": FLAGS.dim,
            "granularity": FLAGS.granularity,
            "threshold_init": -4.0,
        }
    options |= options_among(FLAGS.model, {"mlp_widths": (400, 400, 400)})
    return build_model(FLAGS.model, source.schema.size_by_name, seed=FLAGS.seed, **options)


def _times(step: Callable[..., tf.Tensor], batches: Batches) -> np.ndarray:
    """Seconds of each step."""
    times = []
    for ids, labels in batches:
        started = time.perf_counter()
        float(step(ids, labels))
        times.append(time.perf_counter() - started)
    return np.array(times)


def _loop(step: Callable[..., tf.Tensor], batches: Batches) -> Callable[..., tf.Tensor]:
    """Many steps in one call, as in training, over batches like these that are there already."""
    kinds = [tf.TensorSpec([None, *part.shape], part.dtype) for part in batches[0]]

    @tf.function(input_signature=kinds)
    def loop(ids: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        loss = tf.zeros(())
        for i in tf.range(tf.shape(labels)[0]):
            loss = step(ids[i], labels[i])
        return loss

    return loop


def _ms_in_a_loop(loop: Callable[..., tf.Tensor], batches: Batches) -> float:
    ids, labels = (tf.stack(part) for part in zip(*batches, strict=True))
    started = time.perf_counter()
    float(loop(ids, labels))
    return round((time.perf_counter() - started) / len(batches) * 1e3, 2)


def _gpu_memory_mb() -> dict[str, int] | None:
    """What is taken of the first GPU now, and was at most; None without one."""
    if not tf.config.list_physical_devices("GPU"):
        return None
    found = tf.config.experimental.get_memory_info("GPU:0")
    return {name: size >> 20 for name, size in found.items()}


_SETTINGS = (
    "updates",
    "kept",
    "floor",
    "model",
    "num_features",
    "num_fields",
    "dim",
    "granularity",
)
_SETTINGS += ("batch_size", "steps", "warmup", "seed", "cut", "deterministic")


def _ticket_embedding(source: RowSource) -> TicketEmbedding:
    """A ticket whose frequent features keep more, as in `benchmarks.serving`."""
    rng = np.random.default_rng(FLAGS.seed + 2)
    frequency = source.truth.frequency(np.arange(source.schema.num_features))
    counts = rng.binomial(FLAGS.dim, survivor_rates(1.5 * np.log(frequency), FLAGS.kept))
    bits = [
        np.packbits(
            rng.random((len(block), FLAGS.dim), np.float32).argsort(1).argsort(1) < block[:, None],
            axis=1,
        )
        for block in np.array_split(counts, 1 + len(counts) // (1 << 16))
    ]
    layer = TicketEmbedding.of_mask(np.concatenate(bits), FLAGS.dim, name="embedding")
    layer.entries.assign(rng.normal(0, 1e-3, layer.entries.shape))
    return layer


def _batches(source: RowSource, rng: np.random.Generator, count: int) -> Batches:
    size = FLAGS.batch_size
    ids = np.ascontiguousarray(source.fields.sample(rng, size * count).T)
    labels = (rng.random(size * count) < 0.25).astype(np.float32)
    return [
        (tf.constant(ids[i : i + size]), tf.constant(labels[i : i + size]))
        for i in range(0, size * count, size)
    ]


def _steady_state(
    model: CTRModel, optimizer: CoupledAdam, source: RowSource, ids: tf.Tensor
) -> dict[str, Any]:
    """Puts the optimizer at step 100,000; returns what a batch is like then."""
    optimizer.iterations.assign(_START)
    rows = ids.numpy() + source.schema.offsets
    unique = np.unique(rows)
    facts: dict[str, Any] = {"unique_rows": len(unique)}
    if not isinstance(optimizer, RowwiseAdam):
        return facts
    rng = np.random.default_rng(FLAGS.seed + 1)
    share = source.truth.frequency(np.arange(source.schema.num_features))
    a_step = -np.expm1(FLAGS.batch_size * np.log1p(-np.minimum(share, 1 - 1e-12)))
    last = np.maximum(_START - rng.geometric(np.maximum(a_step, 1e-9)), 0).astype(np.int32)
    state_bytes = 0
    for lazy in optimizer.tables():
        # The entries of a ticket come when their row does.
        whole = lazy.last.shape[0] == len(last)
        own = last if whole else _by_entry(last, model.embedding)
        lazy.last.assign(own)
        variables = [lazy.moments, lazy.last, *lazy.table.variables]
        state_bytes += sum(4 * int(np.prod(v.shape)) for v in variables)
        for start in range(0, len(own), 1 << 15):  # in blocks: the measure is also of memory
            seen = own[start : start + (1 << 15), None] > 0
            shape = (len(seen), lazy.moments.shape[1] // 2)
            m = rng.normal(0, _GRADIENT * 0.3, shape)
            n = rng.gamma(1, 1e-3 * _GRADIENT**2, shape)
            block = np.where(seen, np.concatenate([m, n], axis=1), 0).astype(np.float32)
            # Indexing the variable would read, and so copy, all of it.
            ids = tf.range(start, start + len(seen))
            lazy.moments._value.scatter_update(tf.IndexedSlices(block, ids))
    facts["gap_quantiles"] = np.quantile(
        (_START - last)[unique], [0.1, 0.25, 0.5, 0.75, 0.9]
    ).tolist()
    facts["state_mb"] = round(state_bytes / 2**20)
    return facts


def _by_entry(by_row: np.ndarray, embedding: TicketEmbedding) -> np.ndarray:
    """A number per row, for each entry that the row keeps."""
    return np.repeat(by_row[embedding.rows.numpy()], np.diff(embedding.starts.numpy()))


def _floor_step(model: CTRModel) -> Callable[..., tf.Tensor]:
    """The tower on fixed embeddings, whose gradient is computed as well."""
    apart = {
        id(v) for layer in (model.embedding, model.first_order) if layer for v in layer.weights
    }
    variables = [v for v in model.trainable_variables if id(v) not in apart]
    optimizer = CoupledAdam()
    optimizer.build(variables)
    rng = np.random.default_rng(FLAGS.seed)
    shape = (FLAGS.batch_size, FLAGS.num_fields, FLAGS.dim)
    embedded = tf.constant(rng.normal(0, 0.01, shape).astype(np.float32))
    first_order = tf.zeros([*shape[:2], 1])

    @tf.function(jit_compile=on_gpu())
    def step(_: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch([embedded, first_order])
            logits = model.interact(embedded, first_order, training=True)[:, 0]
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        inputs = [embedded, first_order] if model.first_order else [embedded]
        found = tape.gradient(loss, [*variables, *inputs])
        optimizer.apply(found[: len(variables)], variables)
        return loss + 0 * sum(tf.reduce_sum(g) for g in found[len(variables) :])

    return step


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    use_memory_pool()  # as the command line does
    arguments = sys.argv[1:] if arguments is None else list(arguments)

    def run(_: list[str]) -> None:
        _check(_COMMAND.given())
        settle_arithmetic(deterministic=FLAGS.deterministic)
        if FLAGS.compare:
            common = [a for a in arguments if not a.startswith(("--compare", "--pairs"))]
            settings = [[*common, *part.split()] for part in FLAGS.compare.split(";;")]
            found = compare("benchmarks.step_time", settings, FLAGS.pairs, "ms_per_step")
            print(json.dumps(found, indent=2))
            return
        with traced_for(_CUTS[FLAGS.cut]) if FLAGS.cut != AUTO else contextlib.nullcontext():
            if FLAGS.rounds:
                for _, result in zip(sys.stdin, measure(), strict=False):
                    print(json.dumps(result), flush=True)
            else:
                print(json.dumps(next(measure()), indent=2))

    return _COMMAND.run(run, arguments)


def _check(given: Collection[str]) -> None:
    """Refuses flags that have no effect beside others."""
    if FLAGS.num_fields not in _SHAPES:
        raise PepError(f"`num_fields` must be one of {list(_SHAPES)}. Received: {FLAGS.num_fields}")
    for name, others, reason in (
        ("floor", ("parts", "kept", "granularity", "updates"), "--floor, which is the tower alone"),
        ("kept", ("granularity",), "--kept: a ticket has no thresholds"),
    ):
        if FLAGS[name].value and (found := sorted(set(others) & set(given))):
            raise PepError(f"`{found[0]}` has no effect with {reason}.")
    if FLAGS.hlo and FLAGS.cut == "cpu":
        raise PepError(
            "`hlo` has no effect with --cut=cpu, whose steps are not compiled as a whole."
        )
    if "granularity" in given and FLAGS.updates == "none":
        raise PepError("`granularity` has no effect with --updates=none: there are no thresholds.")
    if "pairs" in given and not FLAGS.compare:
        raise PepError("`pairs` has no effect without --compare.")


if __name__ == "__main__":
    sys.exit(main())
