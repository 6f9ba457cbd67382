"""What training on several workers would take of each: state, bytes per step, efficiency.

With W workers, a share of u distinct rows, of U in the whole batch, and rows of w numbers:

| tables | state | sent a step, beside the tower's 8 P (W - 1) / W | time of a step |
|---|---|---|---|
| replicated | all | 4 (w + 1) u (W - 1): rows of gradients and their ids, passed on in a ring | (1 - a) / W + a |
| sharded | a W-th of the tables | 4 (2 w + 1) u (W - 1) / W: ids, rows back, gradients there | (1 - a) / W + a u / U |

P are the tower's numbers. Thresholds are not sent: their gradients follow from those of the rows. Times are in those of
one worker; a is the part that goes with the distinct rows that are updated. What is sent comes on top at the speed of
the network; latencies do not, nor processors that wait for each other: an efficiency, one worker's time over W times
that of W, is what to expect at most.
"""

import dataclasses

import numpy as np

from pep_tf.data import CTRData
from pep_tf.experiments.config import Config
from pep_tf.experiments.memory import in_words, memory_of
from pep_tf.models import models_with

# The part of a step that goes with the rows of tables: DeepFM against its tower (docs/large_tables.md,
# 1 - 1 / 1.42), and FM, whose step on 4 workers with replicated tables, at the same rows each, took
# 2.45 times as long.
PART_WITH_MLP, PART_WITHOUT = 0.30, 0.77
_TOLD = (2, 4, 8)
_WORTH = 1.1  # times the efficiency, for which tables are sharded that a worker could hold whole


@dataclasses.dataclass(frozen=True)
class Job:
    """A step on one worker.

    Attributes:
        tables: bytes of tables, thresholds and moments.
        tower: numbers of the tower.
        width: numbers of a row, its first-order weight among them.
        distinct: by number of rows of a batch, how many different features they hold.
        batch_size: rows of the whole batch.
        seconds: of a step on one worker; None where it is not known.
        part: of that time, what goes with the rows of tables.
    """

    tables: int
    tower: int
    width: int
    distinct: dict[int, int]
    batch_size: int
    seconds: float | None
    part: float

    def on(self, workers: int, sharded: bool, gigabits: float) -> "Estimate":
        """With several workers, by a network of so many Gb/s."""
        others = workers - 1
        own, whole = (
            self.distinct[rows] for rows in (-(-self.batch_size // workers), self.batch_size)
        )
        sent = 8 * self.tower * others / workers
        if sharded:
            sent += 4 * (2 * self.width + 1) * own * others / workers
        else:
            sent += 4 * (self.width + 1) * own * others
        state = 12 * self.tower + (self.tables / workers if sharded else self.tables)
        efficiency = None
        if self.seconds is not None:
            rows = self.part * (own / whole if sharded else 1)
            time = self.seconds * ((1 - self.part) / workers + rows) + sent * 8e-9 / gigabits
            efficiency = self.seconds / (workers * time)
        return Estimate(state, sent, efficiency)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Of each worker: bytes of state, bytes sent per step; efficiency, None where it is not known."""

    state: float
    sent: float
    efficiency: float | None

    def __str__(self) -> str:
        efficiency = "" if self.efficiency is None else f", at most {self.efficiency:.0%}"
        return f"{in_words(int(self.state))}, {self.sent / 1e6:.1f} MB a step{efficiency}"


def distinct_rows(data: CTRData, batch_size: int, seed: int) -> dict[int, int]:
    """How many different features a batch and its shares hold, of the first batch of an epoch."""
    schema = data.schema
    ids, *_ = next(iter(data.train.batches(batch_size, seed=seed).take(1).as_numpy_iterator()))
    rows = np.where(schema.is_float, 0, ids) + schema.offsets[schema.column_fields]
    shares = {batch_size, *(-(-batch_size // workers) for workers in _TOLD)}
    return {share: len(np.unique(rows[:share])) for share in shares}


def job_of(config: Config, data: CTRData, seconds: float | None) -> Job:
    """The step of a run's pruning."""
    memory = memory_of(config, data.schema, data.train.num_rows)
    return Job(
        tables=memory.tables,
        tower=memory.tower // 12,
        width=config.embedding_dim + (config.model in models_with("first_order")),
        distinct=distinct_rows(data, config.batch_size, config.seed),
        batch_size=config.batch_size,
        seconds=seconds,
        part=PART_WITH_MLP if memory.tower else PART_WITHOUT,
    )


def told(job: Job, gigabits: float, has: int) -> list[str]:
    """A line for each number of workers, and whether tables are better sharded.

    Args:
        job: the step.
        gigabits: of the network, a second.
        has: bytes of memory of a worker's machine.
    """
    lines = []
    for workers in _TOLD:
        whole, parts = (job.on(workers, sharded, gigabits) for sharded in (False, True))
        faster = (parts.efficiency or 0) > _WORTH * (whole.efficiency or 0)
        better = "sharded" if faster or whole.state > has else "replicated"
        lines.append(
            f"{workers} workers      replicated tables {whole}; sharded {parts}; better {better}"
        )
    return lines
