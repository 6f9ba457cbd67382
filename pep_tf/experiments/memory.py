"""How much memory a run takes at least, found before any of it is allocated."""

import dataclasses
import math

from pep_tf import distributed
from pep_tf.data import FeatureSchema
from pep_tf.errors import RunError
from pep_tf.experiments.config import Config
from pep_tf.experiments.placement import table_bytes
from pep_tf.models import models_with
from pep_tf.training.memory_pool import machine_memory

_FLOAT, _COUNT = 4, 8  # bytes of a float32, of an int64
_WITH_MOMENTS = 3  # a weight, and two moments of Adam


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes at the peak of a run, as far as they can be predicted.

    Attributes:
        tables: the widest tables, thresholds, moments, the last step of each row.
        copies: what a run keeps of the tables beside them: initial or best weights; how often each
            feature occurs.
        tower: the MLP, or MLP and cross layers, with their moments.
        batch: embeddings of a batch and their gradient, what the MLP computes of them.
        workers: how many processes of the machine it is of.
    """

    tables: int
    copies: int
    tower: int
    batch: int
    workers: int = 1

    @property
    def total(self) -> int:
        return self.tables + self.copies + self.tower + self.batch

    def __str__(self) -> str:
        parts = (
            f"tables with thresholds and moments {in_words(self.tables)}",
            f"copies of their weights and counts {in_words(self.copies)}",
            f"tower {in_words(self.tower)}",
            f"a batch {in_words(self.batch)}",
        )
        of = f" in {self.workers} workers" if self.workers > 1 else ""
        return f"at least {in_words(self.total)}{of} ({', '.join(parts)})"


def memory_here(config: Config, schema: FeatureSchema, train_rows: int) -> Memory:
    """The least memory of a run on this machine, with all of its workers here."""
    memory, group = memory_of(config, schema, train_rows), distributed.current()
    if group is None:
        return memory
    part = group.size if group.shards(schema.num_features) else 1
    # At the start each worker draws the whole table, and keeps its own rows.
    drawn = _FLOAT * schema.num_features * config.embedding_dim
    return Memory(
        tables=group.here * max(memory.tables // part, drawn),
        copies=group.here * memory.copies // part,
        tower=group.here * memory.tower,
        batch=group.here * memory.batch // group.size,
        workers=group.here,
    )


def memory_of(config: Config, schema: FeatureSchema, train_rows: int) -> Memory:
    """The least memory of a run of this configuration in one process."""
    dim = max(config.embedding_dim, *config.baseline_dims, 0)
    width = dim + (config.model in models_with("first_order"))
    rows = min(config.batch_size, train_rows) * len(schema.column_fields)
    widths = config.mlp_widths if config.model in models_with("mlp_widths") else ()
    layers = [schema.num_fields * dim, *widths, 1] if widths else []
    weights = sum(math.prod(pair) for pair in zip(layers, layers[1:], strict=False))
    if config.model in models_with("cross_layers"):
        flat = schema.num_fields * dim
        weights += (
            config.cross_layers * flat * (2 * config.cross_rank if config.cross_rank else flat)
        )
    units = min(config.batch_size, train_rows) * sum(layers)
    return Memory(
        tables=table_bytes(config, schema.num_features),
        copies=schema.num_features * (_FLOAT * width + _COUNT),
        tower=_WITH_MOMENTS * _FLOAT * weights,
        batch=2 * _FLOAT * (rows * width + units),
    )


def refuse_too_large(memory: Memory) -> None:
    """Refuses to start what the machine cannot hold.

    Raises:
        RunError: more than all of the machine's memory is needed.
    """
    if memory.total > machine_memory():
        raise RunError(
            f"The run takes {memory}; this machine has {in_words(machine_memory())}. Give a smaller "
            "--embedding_dim, fewer features or a smaller --batch_size; `check_memory` off (--nocheck_memory) "
            "starts it all the same."
        )


def in_words(size: int) -> str:
    """`12.3 GB`, or `12 MB` of less than a tenth of one."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.0f} MB"
