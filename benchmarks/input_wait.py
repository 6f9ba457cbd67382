"""How long training waits for its input; prints one JSON object.

    python -m benchmarks.input_wait --rows=1000000 --steps=300
    python -m benchmarks.input_wait --dataset=criteo --data_dir=train.txt

DeepFM (400-400-400, d = 24) prunes with the rowwise update, on batches that `--data_dir` streams (a
store, or a raw file), or a store of `--rows` synthetic rows that is prepared first. Every step is taken twice
in turn: on the next batch of the stream, and on one that is kept in memory.

- `wait_share`: share of the time of the streamed steps that passes before the next batch is there.
- `step_ms`: a streamed step, its waiting included; `step_ms_in_memory`: a step on kept batches, while the stream
  stands still but for the batches that it reads ahead. All are means over the steps.
"""

import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from pep_tf import data as datasets
from pep_tf.command_line import Command
from pep_tf.data import CTRData
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.synthetic import write_raw_text
from pep_tf.errors import PepError
from pep_tf.models import build_model, models_with, options_among
from pep_tf.training import Settings
from pep_tf.training.step import train_step

_COMMAND = Command("benchmarks.input_wait", __doc__, least_level=logging.ERROR)
_DATASET = _COMMAND.text("dataset", "synthetic-criteo", "name of the data set")
_DATA_DIR = _COMMAND.path("data_dir", None, "a store or a raw file", shown="synthetic rows")
_ROWS = _COMMAND.whole("rows", 1_000_000, "synthetic rows, without --data_dir", least=1)
_STEPS = _COMMAND.whole("steps", 300, "timed steps", least=1)
_WARMUP = _COMMAND.whole("warmup", 20, "steps before them", least=0)
_BATCH_SIZE = _COMMAND.whole("batch_size", 1024, "rows per step", least=1)
_MODEL = _COMMAND.choice("model", "deepfm", models_with("embedding"), "the model")

_BLOCK = 50  # steps in a row on the stream, then as many on kept batches


def measure(data: CTRData) -> dict[str, float | int | str]:
    """Times steps on the training split of `data`."""
    model = build_model(
        _MODEL.value,
        data.schema.size_by_name,
        embedding_dim=24,
        threshold_init=-15.0,
        pruning="threshold",
        **options_among(_MODEL.value, {"mlp_widths": (400, 400, 400)}),
    )
    optimizer = Settings().optimizer(model)
    step = tf.function(lambda ids, labels: train_step(model, optimizer, ids, labels))
    stream = iter(data.train.batches(_BATCH_SIZE.value, seed=0))
    kept = [next(stream) for _ in range(_WARMUP.value + _BLOCK)]
    for ids, labels in kept[_BLOCK:]:
        float(step(ids, labels))
    waits, streamed, in_memory = [], [], []
    while len(streamed) < _STEPS.value:
        for _ in range(_BLOCK):
            started = time.perf_counter()
            ids, labels = next(stream)
            waits.append(time.perf_counter() - started)
            float(step(ids, labels))
            streamed.append(time.perf_counter() - started)
        for ids, labels in kept[:_BLOCK]:
            started = time.perf_counter()
            float(step(ids, labels))
            in_memory.append(time.perf_counter() - started)
    return {
        "data": data.name,
        "data_dir": "" if _DATA_DIR.value is None else pathlib.Path(_DATA_DIR.value).name,
        "model": _MODEL.value,
        "num_features": data.schema.num_features,
        "steps": len(streamed),
        "wait_share": round(sum(waits) / sum(streamed), 5),
        "wait_ms": round(float(np.mean(waits)) * 1e3, 3),
        "wait_ms_longest": round(max(waits) * 1e3, 3),
        "step_ms": round(float(np.mean(streamed)) * 1e3, 2),
        "step_ms_in_memory": round(float(np.mean(in_memory)) * 1e3, 2),
    }


def _run(_: list[str]) -> None:
    if _DATA_DIR.value and "rows" in _COMMAND.given():
        raise PepError("`rows` has no effect with --data_dir, which has the rows that it has.")
    if _DATA_DIR.value:
        print(json.dumps(measure(datasets.load(_DATASET.value, data_dir=_DATA_DIR.value))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        raw, shape = folder / "raw", _DATASET.value.removeprefix("synthetic-")
        write_raw_text(raw, shape, rows=_ROWS.value)
        prepare(shape, raw, folder / "store")
        data = datasets.load(f"synthetic-{shape}", data_dir=folder / "store")
        print(json.dumps(measure(data)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return _COMMAND.run(_run, arguments)


if __name__ == "__main__":
    sys.exit(main())
