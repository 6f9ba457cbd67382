"""Tickets cut from a model as it stands."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from pep_tf.layers import PEPEmbedding
from pep_tf.tables.sharded_table import ShardedTable
from pep_tf.training.budgets import ByteBudget, total
from pep_tf.training.kept_table import KeptTable, ticket_layer
from pep_tf.training.layer_state import own_files, walk
from pep_tf.training.pruned_tables import Budget, EntryScores, pruned_tables
from pep_tf.training.stored_size import StoredSize
from pep_tf.training.swap import Blueprint
from pep_tf.training.ticket import BYTE_BUDGET, STORED_DTYPE, Ticket
from pep_tf.training.weights import named_weights, snapshot, whole_values


def cut_tickets(
    model: keras.Model,
    initial: Mapping[str, np.ndarray],
    budgets: Sequence[Budget],
    step: int,
    forced: bool,
    facts: dict[str, Any],
    scores: Mapping[str, np.ndarray] | None = None,
    storage: StoredSize | None = None,
) -> Iterator[Ticket]:
    """Cuts a ticket of exactly as many entries for each budget, from the model as it stands.

    Args:
        model: a built model with tables to prune.
        initial: weights from before pruning, by `snapshot`.
        budgets: by `resolve_table_budgets`.
        step, forced, facts: see `Ticket`.
        scores: see `EntryScores`.
        storage: counts the bytes of tickets, where budgets are in bytes.
    """
    tables = pruned_tables(model)
    by_entry, names = EntryScores(tables, scores), named_weights(model)
    tower = whole_values(snapshot(model, without=list(tables.values())), names)
    before = whole_values({name: initial[name] for name in tower}, names)
    blueprint = Blueprint.of(model, tables)
    paths = {id(layer): path for path, layer in walk(model)}
    files = {path: found for path, layer in walk(model) if (found := own_files(layer))}
    for budget in budgets:
        kept = {
            key: KeptTable(
                bits, tables[key].output_dim, paths[id(tables[key])], config_of(tables[key])
            )
            for key, bits in by_entry.masks(budget, storage).items()
        }
        nnz = sum(table.nnz for table in kept.values())
        own_facts = dict(facts)
        if storage is not None and storage.rounds:
            own_facts[STORED_DTYPE] = storage.dtype
        if isinstance(budget, ByteBudget) and storage is not None:
            own_facts |= {
                BYTE_BUDGET: list(budget),
                STORED_DTYPE: storage.dtype,
                "stored_bytes": storage.bytes_of({key: x.bits for key, x in kept.items()}),
            }
        yield Ticket(
            budget=nnz if isinstance(budget, ByteBudget) else total(budget),
            nnz=nnz,
            step=step,
            forced=forced,
            tables=kept,
            initial=before
            | {
                table.weight: _entries(table, tables[key], initial[table.weight])
                for key, table in kept.items()
            },
            trained=tower
            | {
                table.weight: _entries(table, tables[key], by_entry.entries[key])
                for key, table in kept.items()
            },
            blueprint=blueprint,
            facts=own_facts,
            files=files,
            budgets=budget if isinstance(budget, dict) else None,
        )


def _entries(kept: KeptTable, layer: PEPEmbedding, values: np.ndarray) -> np.ndarray:
    """The entries that are kept, in order, [nnz]; from all workers if the table is sharded."""
    table = layer.table.row_table
    if not isinstance(table, ShardedTable):
        return kept.entries(values)
    size = table.group.size
    own = dataclasses.replace(kept, bits=kept.bits[table.group.rank :: size])
    parts = table.group.gather_arrays(own.entries(values))
    counts = np.bitwise_count(kept.bits).sum(1, dtype=np.int64)
    ends = np.cumsum(counts)
    whole = np.empty(kept.nnz, np.float32)
    for rank, part in enumerate(parts):
        count, end = counts[rank::size], ends[rank::size]
        whole[np.repeat(end - np.cumsum(count), count) + np.arange(len(part))] = part
    return whole


def config_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """A layer's configuration as JSON has it."""
    config: dict[str, Any] = keras.saving.serialize_keras_object(layer)["config"]
    return json.loads(json.dumps(config))


def check_tickets(model: keras.Model, tables: Mapping[str, PEPEmbedding]) -> None:
    """Makes the model of an empty ticket, so that a model that cannot be made is refused early.

    Raises:
        ModelError: a model that cannot be made anew.
    """
    layers = {}
    for key, table in tables.items():
        bits = np.zeros((table.input_dim, -(-table.output_dim // 8)), np.uint8)
        layer = ticket_layer(config_of(table), bits, table.output_dim)
        layers[key] = type(layer).from_config(layer.get_config())
    Blueprint.of(model, tables).make(layers)
