"""What several workers cost and save: processor time of a step, state and bytes sent; prints one JSON object.

    python -m benchmarks.scaling --workers=1,2,4

An FM of 39 fields, each worker with as many rows of the batch, whatever their number: processor ms a
step and worker, with tables sharded and whole, over those of one process alone. Rounds are interleaved:
all processes stay, and take their steps in turn. Run it where nothing but loopback is (`unshare -n`):
TensorFlow's servers listen on every interface, and ask for no password.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.command_line import Command
from pep_tf.device import settle_arithmetic
from pep_tf.distributed.cluster import VARIABLE, Cluster, local_cluster
from pep_tf.distributed.group import REPLICATED, SHARDED
from pep_tf.distributed.join import join
from pep_tf.models import build_model
from pep_tf.tables.sharded_table import is_sharded
from pep_tf.training import Settings, use_memory_pool
from pep_tf.training.step import train_step

_FIELDS, _SKEW = (
    39,
    18,
)  # ids are drawn so skewed that a batch holds about the distinct rows of Criteo's
_ALONE = "alone"

_COMMAND = Command("benchmarks.scaling", __doc__)
_COMMAND.wholes("workers", [1, 2, 4], "numbers of workers", least=1)
_COMMAND.whole("num_features", 400_000, "N", least=_FIELDS)
_COMMAND.whole("dim", 64, "embedding dimension", least=1)
_COMMAND.whole("batch_size", 1024, "rows per step and worker", least=1)
_COMMAND.whole("steps", 10, "steps a round", least=1)
_COMMAND.whole("rounds", 9, "interleaved rounds", least=1)
_COMMAND.choice("work", None, (_ALONE, SHARDED, REPLICATED), "is a worker; used by this command")
FLAGS = _COMMAND.values


def bytes_on_paper(distinct: float, dim: int, workers: int, tower: int) -> float:
    """Bytes that a worker sends for a step of a sharded FM.

    Its distinct rows' numbers go to their owners, the rows of V and of the first-order weights come
    back and their gradients go there; a ring sums the tower's gradients and the loss.
    """
    rows = distinct * 4 * (1 + 2 * (dim + 1)) * (workers - 1) / workers
    return rows + 2 * 4 * tower * (workers - 1) / workers


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    return _COMMAND.run(lambda _: _work() if FLAGS.work else _compare(arguments), arguments)


def _compare(arguments: Sequence[str]) -> None:
    kinds = [(_ALONE, 1)]
    kinds += [(form, n) for n in FLAGS.workers if n > 1 for form in (SHARDED, REPLICATED)]
    started = {kind: _start(kind, arguments) for kind in kinds}
    found: dict[tuple[str, int], list[list[dict[str, Any]]]] = {kind: [] for kind in kinds}
    for _ in range(FLAGS.rounds + 1):
        for kind, processes in started.items():
            for process in processes:
                assert process.stdin
                process.stdin.write("round\n")
                process.stdin.flush()
            found[kind].append([json.loads(_line(process)) for process in processes])
    for processes in started.values():
        for process in processes:
            process.communicate()
    print(json.dumps({f"{form} {n}": _summary(found, form, n) for form, n in kinds}))


def _summary(found: Any, form: str, workers: int) -> dict[str, float]:
    """Medians over the rounds but the first, in which functions are traced."""
    rounds, alone = found[form, workers][1:], found[_ALONE, 1][1:]
    ms = [statistics.mean(own["ms"] for own in one) for one in rounds]
    ratios = [own / one[0]["ms"] for own, one in zip(ms, alone, strict=True)]
    last = rounds[-1]
    told = {
        "processor_ms_a_step": round(statistics.median(ms), 1),
        "over_alone": round(statistics.median(ratios), 3),
        "state_bytes": max(own["state"] for own in last),
    }
    if form == SHARDED:
        whole = alone[-1][0]["table_state"]
        paper = [bytes_on_paper(o["distinct"], FLAGS.dim, workers, o["tower"]) for o in last]
        told["state_of_tables_times_workers"] = round(
            max(own["table_state"] for own in last) * workers / whole, 4
        )
        told["bytes_on_paper"] = round(max(paper))
        told["sent_over_paper"] = round(
            max(o["sent"] / p for o, p in zip(last, paper, strict=True)), 3
        )
    if workers > 1:
        told["bytes_sent_a_step"] = round(max(own["sent"] for own in last))
    return told


def _start(kind: tuple[str, int], arguments: Sequence[str]) -> list[subprocess.Popen[str]]:
    form, workers = kind
    configs = [""] if form == _ALONE else local_cluster(workers)
    return [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scaling", *arguments, f"--work={form}"],
            env={**os.environ, VARIABLE: config},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for config in configs
    ]


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    if not (line := process.stdout.readline()):
        raise RuntimeError(f"a worker ended with exit code {process.wait()}")
    return line


def _work() -> None:
    """Takes a round of steps for each line read, and tells of it."""
    use_memory_pool()
    cluster = Cluster.from_environment(os.environ)
    group = None if cluster is None else join(cluster, 300, FLAGS.work)
    settle_arithmetic()
    size = FLAGS.num_features // _FIELDS
    fields = {f"f{i}": size for i in range(_FIELDS)}
    model = build_model("fm", fields, embedding_dim=FLAGS.dim, threshold_init=-6.0)
    optimizer = Settings(threshold_learning_rate=0.02, dense_below=0).optimizer(model)
    step = tf.function(lambda ids, labels: train_step(model, optimizer, ids, labels))
    workers, rank = (1, 0) if group is None else (group.size, group.rank)
    rng, variables = np.random.default_rng(0), [*model.variables, *optimizer.variables]
    tables = [v for v in variables if is_sharded(v) or (len(v.shape) and v.shape[0] >= size)]
    others = [v for v in model.trainable_variables if all(v is not own for own in tables)]
    for _ in sys.stdin:
        shape, distinct = (FLAGS.batch_size * workers, _FIELDS), []
        batches = [(size * rng.random(shape) ** _SKEW).astype(np.int32) for _ in range(FLAGS.steps)]
        sent = 0 if group is None else int(group.sent)
        started = time.process_time()
        for ids in batches:
            step(tf.constant(ids), tf.zeros(len(ids)))
        ms = 1e3 * (time.process_time() - started) / len(batches)
        for ids in batches:
            own = ids[FLAGS.batch_size * rank : FLAGS.batch_size * (rank + 1)]
            distinct.append(len(np.unique(own + size * np.arange(_FIELDS))))
        told = {
            "ms": ms,
            "state": _bytes(variables),
            "table_state": _bytes(tables),
            "sent": 0 if group is None else (int(group.sent) - sent) / len(batches),
            "distinct": statistics.mean(distinct),
            "tower": 1 + _bytes(others) // 4,
        }
        print(json.dumps(told), flush=True)


def _bytes(variables: Sequence[Any]) -> int:
    return sum(4 * int(np.prod(v.shape)) for v in variables)


if __name__ == "__main__":
    sys.exit(main())
