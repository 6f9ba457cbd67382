"""Error and speed of the catch-up of skipped steps against the dense update.

    python -m benchmarks.catch_up_error --rows=300 --dim=24 --steps=20000 --seed=0

prints one JSON object:

- `errors`, by case: |p_rowwise - p_dense| / max(initial scale, 10 lr) at each touch, in percent,
  pooled over all touches and entries; `late` from the 30th touch of a row on; `entries` counted.
  Thresholds are measured in 10 lr, not in their start of 5 or 15: a mask sees |s_rowwise - s_dense|.
  Rows start at m = n = 0 and t = 0, gaps are log-uniform in 1..5000, dense is float64.
- `masks`: entries that |V| - sigmoid(s) > 0 keeps in one and not in the other, in percent.
- `never_seen`: the same error of rows without any touch.
- `speed`: milliseconds a call for 10,300 rows a third of which have gaps in 1..10, 10..300 and
  300..20,000, inside one graph, by the coarse cut (2 exact steps) and by the fine one (16);
  `cpu_ms` is what both cores spent.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.clock import timed
from benchmarks.dense_histories import Case, State, caught_up, dense, one_step, rowwise, touches
from pep_tf.command_line import Command
from pep_tf.errors import PepError
from pep_tf.optimizers import Hyper
from pep_tf.optimizers.catch_up import catch_up
from pep_tf.optimizers.columns import Columns

_ALL = ("errors", "masks", "never_seen", "speed")
_COMMAND = Command("benchmarks.catch_up_error", __doc__)
_ROWS = _COMMAND.whole("rows", 300, "errors, masks: rows of each history", least=1)
_DIM = _COMMAND.whole("dim", 24, "errors, masks: entries per row", least=1)
_STEPS = _COMMAND.whole("steps", 20_000, "errors: steps of each history", least=1)
_REPEATS = _COMMAND.whole("repeats", 30, "speed: timed repeats of ten calls", least=1)
_SEED = _COMMAND.whole("seed", 0, "of every draw", least=0)
_CASES = _COMMAND.items("cases", None, "errors: cases to run", shown="all")
_PARTS = _COMMAND.items("parts", _ALL, "what to run")
_USED_BY = {
    "rows": ("errors", "masks"),
    "dim": ("errors", "masks"),
    "steps": ("errors",),
    "repeats": ("speed",),
    "cases": ("errors",),
}

_STRONG = Hyper(learning_rate=1e-2, l2=1e-3)
CASES = {
    "table_4k": Case(Hyper()),
    "table_2m": Case(Hyper(), start=0.0017),
    "tiny_gradients": Case(Hyper(), gradients=(1e-6, 1e-6)),
    "mixed_gradients": Case(Hyper(), gradients=(1e-7, 1e-2)),
    "strong": Case(_STRONG),
    "strong_tiny_gradients": Case(_STRONG, gradients=(1e-6, 1e-4)),
    "no_epsilon": Case(Hyper(epsilon=0.0)),
    "no_l2": Case(Hyper(l2=0.0)),
    "threshold": Case(Hyper(), start=-15.0, threshold=True),
    "threshold_near": Case(Hyper(), start=-5.0, threshold=True),
    "threshold_rising": Case(Hyper(target=5.0), start=-5.0, threshold=True),
}


def _percent(errors: np.ndarray) -> dict[str, Any]:
    errors = errors[np.isfinite(errors)] * 100.0
    if not errors.size:
        return {"entries": 0}
    p50, p99 = np.quantile(errors, [0.5, 0.99])
    return {"p50": p50, "p99": p99, "max": errors.max(), "entries": errors.size}


def _errors(case: Case, at: np.ndarray) -> dict[str, Any]:
    history = dense(case, at, _DIM.value, _SEED.value)
    found = rowwise(history, case.hyper)
    reached = np.repeat((at.T > 0)[:, :, None], _DIM.value, axis=2)
    if not np.isfinite(found[reached]).all():
        raise FloatingPointError(f"{case} met a value that is not finite")
    errors = np.abs(found - history.before[0]) / case.scale
    return _percent(errors) | {"late_p99": _percent(errors[30:]).get("p99")}


def _masks() -> dict[str, Any]:
    at = touches(_ROWS.value, 1900, 1000, _SEED.value)
    cases = [CASES["table_4k"], CASES["threshold_near"]]
    kept = []
    histories = [dense(case, at, _DIM.value, _SEED.value + i) for i, case in enumerate(cases)]
    found = [rowwise(h, c.hyper) for h, c in zip(histories, cases, strict=True)]
    reached = np.isfinite(found[0])
    for v, s in ([h.before[0] for h in histories], found):
        kept.append(np.abs(v[reached]) > 1.0 / (1.0 + np.exp(-s[reached].astype(np.float64))))
    return {
        "differ_percent": 100.0 * (kept[0] != kept[1]).mean(),
        "kept_percent": 100.0 * kept[0].mean(),
        "entries": int(reached.sum()),
    }


def _never_seen() -> dict[str, Any]:
    hyper, limit = Hyper(), 0.04
    start = np.random.default_rng(_SEED.value).uniform(-limit, limit, (500, 24)).astype(np.float32)
    state: State = (start.astype(np.float64), np.zeros(start.shape), np.zeros(start.shape))
    zero, last = np.zeros_like(start), np.zeros(len(start), np.int64)
    errors = []
    for t in range(1, 5001):
        state = one_step(state, 0.0, float(t), hyper)
        if t in (1, 2, 5, 10, 20, 30, 40, 50, 70, 100, 200, 500, 1000, 2000, 5000):
            errors.append(caught_up((start, zero, zero), last, t, hyper)[0] - state[0])
    return _percent(np.abs(np.stack(errors)) / limit)


def _speed(dim: int, hyper: Hyper) -> dict[str, Any]:
    random = np.random.default_rng(_SEED.value)
    bounds = [(1, 10, 3434), (10, 300, 3433), (300, 20_000, 3433)]
    gap = np.sort(
        np.concatenate([np.exp(random.uniform(np.log(a), np.log(b), c)) for a, b, c in bounds])
    )
    shape = (gap.size, dim)
    size = np.exp(random.uniform(np.log(1e-4), np.log(1e-2), (gap.size, 1)))
    p = random.uniform(-0.01, 0.01, shape).astype(np.float32)
    m = (0.1 * size * random.normal(size=shape)).astype(np.float32)
    n = np.broadcast_to(1e-3 * size**2, shape).astype(np.float32)
    last, calls = tf.constant(100_000 - gap.astype(np.int64)), 10
    columns = Columns((hyper,), (dim,))

    @tf.function(autograph=False)
    def repeated(p: tf.Tensor, m: tf.Tensor, n: tf.Tensor) -> Any:
        def body(i: tf.Tensor, p: tf.Tensor, m: tf.Tensor, n: tf.Tensor) -> tuple[Any, ...]:
            new, moments = catch_up(p, tf.concat([m, n], 1), last, 100_000, columns)
            found = (new, *tf.split(moments, 2, axis=1))
            return i + 1, *(x + 0.0 * y for x, y in zip((p, m, n), found, strict=True))

        return tf.while_loop(lambda i, *_: i < calls, body, (0, p, m, n), parallel_iterations=1)

    inputs = [tf.constant(x) for x in (p, m, n)]
    repeated(*inputs)
    times = [timed(lambda: repeated(*inputs)[1].numpy()) for _ in range(_REPEATS.value)]
    wall, cpu = (np.array(times) * 1e3 / calls).T
    return {
        "dim": dim,
        "exact_steps": columns.stages.exact,
        "ms": float(np.median(wall)),
        "best_ms": float(wall.min()),
        "cpu_ms": float(np.median(cpu)),
        "best_cpu_ms": float(cpu.min()),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, (float, np.floating)) else value


def _run(_: list[str]) -> None:
    _check()
    chosen = CASES if _CASES.value is None else {k: CASES[k] for k in _CASES.value}
    at = touches(_ROWS.value, _STEPS.value, 5000, _SEED.value)
    parts: dict[str, Callable[[], Any]] = {
        "errors": lambda: {name: _errors(case, at) for name, case in chosen.items()},
        "masks": _masks,
        "never_seen": _never_seen,
        "speed": lambda: [_speed(dim, hyper) for dim in (24, 64) for hyper in (Hyper(), _STRONG)],
    }
    report = {name: parts[name]() for name in _PARTS.value}
    report["settings"] = {f.name: f.value for f in (_ROWS, _DIM, _STEPS, _REPEATS, _SEED)}
    print(json.dumps(_rounded(report)))


def _check() -> None:
    for name, values, known in (
        ("cases", _CASES.value or (), CASES),
        ("parts", _PARTS.value, _ALL),
    ):
        if unknown := sorted(set(values) - set(known)):
            raise PepError(f"`{name}` must be some of {', '.join(known)}. Received: {unknown}")
    for name, parts in _USED_BY.items():
        if name in _COMMAND.given() and not set(parts) & set(_PARTS.value):
            raise PepError(f"`{name}` has no effect without the parts {' and '.join(parts)}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return _COMMAND.run(_run, arguments)


if __name__ == "__main__":
    sys.exit(main())
