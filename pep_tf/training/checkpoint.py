"""Checkpoints: one file, and for sharded tables one more per worker; any number of workers reads them."""

import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from pep_tf import distributed
from pep_tf.errors import RunError, reading
from pep_tf.tables.sharded_table import interleaved
from pep_tf.training.state import load_state, save_state

_SHARDS = "shards"  # among the facts: which files belong to a checkpoint
_ADVICE = "delete it, and the stage begins anew"


def save_checkpoint(
    path: pathlib.Path,
    arrays: Mapping[str, np.ndarray],
    facts: dict[str, Any],
    sharded: Collection[str],
    step: int,
) -> None:
    """Writes a checkpoint whole or not at all, and then removes the one before.

    Each worker writes its rows of sharded arrays to a file of this step; worker 0 writes the rest, and
    which files belong to it, when all of them are on disk. Until then the checkpoint before is whole.

    Args:
        path: the file of what all workers have.
        arrays: values by name; of sharded ones the rows of this worker.
        facts: JSON-ready.
        sharded: names of arrays of which each worker has its own rows.
        step: of the training.

    Raises:
        RunError: the folder cannot be written, or the disk is full.
    """
    group = distributed.current()
    if group is None or not sharded:
        save_state(path, arrays, facts)
        distributed.wait()
        return
    own = {name: value for name, value in arrays.items() if name in sharded}
    save_state(_shard(path, step, group.rank, group.size), own, {"step": step}, everyone=True)
    group.wait()
    rest = {name: value for name, value in arrays.items() if name not in sharded}
    told = {"step": step, "workers": group.size, "names": sorted(own)}
    save_state(path, rest, facts | {_SHARDS: told})
    group.wait()
    if group.rank == 0:
        _remove_shards(path, but=step)


def load_checkpoint(
    path: pathlib.Path, sharded: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and facts of a checkpoint; `sharded` arrays have the rows of this worker only.

    Raises:
        RunError: a file that is missing or damaged.
    """
    arrays, facts = load_state(path, "a checkpoint")
    group = distributed.current()
    told = facts.pop(_SHARDS, None) if isinstance(facts, dict) else None
    if told is not None:
        with reading(path, RunError, _ADVICE):
            step, workers, names = int(told["step"]), int(told["workers"]), list(told["names"])
            files = [_shard(path, step, rank, workers) for rank in range(workers)]
        for file in files:
            if not file.exists():
                raise RunError(
                    f"{path} is a checkpoint of {workers} shards, of which {file} is missing."
                )
        for name in names:
            same = group is not None and group.size == workers and name in sharded
            of = files[group.rank : group.rank + 1] if same and group is not None else files
            parts = [load_state(file, "a shard of a checkpoint", only=[name])[0] for file in of]
            with reading(path, RunError, _ADVICE):
                found = [part[name] for part in parts]
                arrays[name] = found[0] if same else interleaved(found)
    whole = set(sharded) - set(told["names"] if told else ())
    whole |= {n for n in sharded if told and group is not None and told["workers"] != group.size}
    if group is not None:
        for name in whole & set(arrays):
            arrays[name] = arrays[name][group.rank :: group.size]
    return arrays, facts


def remove_checkpoint(path: pathlib.Path) -> None:
    """Removes a checkpoint that is no longer needed."""
    path.unlink(missing_ok=True)
    _remove_shards(path)


def _shard(path: pathlib.Path, step: int, rank: int, workers: int) -> pathlib.Path:
    return path.with_name(f"{path.stem}.{step}.{rank}of{workers}{path.suffix}")


def _remove_shards(path: pathlib.Path, but: int | None = None) -> None:
    for file in path.parent.glob(f"{path.stem}.*of*{path.suffix}"):
        found = re.fullmatch(re.escape(path.stem) + r"\.(\d+)\.\d+of\d+", file.stem)
        if found and int(found[1]) != but:
            file.unlink(missing_ok=True)
