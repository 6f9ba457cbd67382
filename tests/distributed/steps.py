"""What each of several workers does in `test_steps.py`, and one alone: the same steps, told as JSON.

`python -m tests.distributed.steps WORKERS FOLDER CASE ...` starts the workers.
"""

import json
import multiprocessing
import os
import pathlib
import sys

STEPS = 50
FIELDS = {"a": 50, "b": 300, "c": 20}
CASES = {
    "fm": {"model": "fm"},
    "deepfm, sharded": {"model": "deepfm", "tables": "sharded"},
    "fm, updated whole": {"model": "fm", "dense_below": None},
    "deepfm": {"model": "deepfm"},
    "fm, sharded": {"model": "fm", "tables": "sharded"},
}
FIRST = ["fm", "deepfm, sharded"]  # those of the ordinary run
FLAGS = [
    *("--label=clicked", "--features=user=vocabulary,item=vocabulary", "--embedding_dim=8"),
    *("--batch_size=63", "--learning_rate=0.01", "--epochs=1", "--prune_epochs=1"),
    *("--threshold_learning_rate=0.1", "--budgets=20%", "--check_every=4", "--checkpoint_every=4"),
]


def table(path):
    """A table of clicks, whose fields have 74 values."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"user": rng.integers(0, 30, 600), "item": rng.integers(0, 40, 600)})
    rows["clicked"] = (rng.random(len(rows)) < 0.2 + 0.6 * (rows["user"] % 2)).astype(int)
    rows.to_csv(path, index=False)
    return path


def data():
    """1,500 rows, ids of which are drawn so that few come often."""
    import numpy as np

    from pep_tf.data import from_arrays

    rng = np.random.default_rng(0)
    ids = (np.array(list(FIELDS.values())) * rng.random((1500, 3)) ** 3).astype(np.int32)
    return from_arrays((ids, rng.random(1500) < 0.2 + 0.2 * (ids[:, 0] % 2)), FIELDS)


def loop_of(model, dense_below=1, tables="replicated"):
    """A new loop; also the data."""
    import keras

    from pep_tf import distributed
    from pep_tf.models import build_model
    from pep_tf.training import Settings
    from pep_tf.training.loop import Loop

    if (group := distributed.current()) is not None:
        group.tables = tables
    keras.utils.set_random_seed(1)
    tower = {"dropout": 0.2, "mlp_widths": (16,)} if model == "deepfm" else {}
    built = build_model(model, FIELDS, embedding_dim=8, threshold_init=-6.0, **tower)
    # 24 batches of an epoch: the last is of 27 rows, which no number of workers divides.
    settings = Settings(
        batch_size=51, learning_rate=1e-2, threshold_learning_rate=0.05, dense_below=dense_below
    )
    rows = data()
    return Loop("steps", built, settings.optimizer(built), rows.train, settings), rows


def go_on(path, **case):
    """Losses from a checkpoint to the last step."""
    from pep_tf.training.weights import snapshot

    loop, _ = loop_of(**case)
    loop.restore(path, snapshot(loop.model))
    return loop, [loop.run(1) for _ in range(STEPS - loop.step)]


def train(path, **case):
    """Losses of all steps and what they end with; a checkpoint half way, from which it may go on again."""
    import numpy as np

    from pep_tf import distributed
    from pep_tf.training import Evaluator
    from pep_tf.training.pruned_tables import EntryScores, pruned_tables
    from pep_tf.training.replicas import digest
    from pep_tf.training.stored import stored_values
    from pep_tf.training.weights import snapshot

    def values(loop):
        return {name: value.copy() for name, value in stored_values(loop._variables()).items()}

    def sent():
        return 0 if group is None else int(group.sent)

    (loop, rows), group = loop_of(**case), distributed.current()
    before = sent()
    losses = [loop.run(1) for _ in range(STEPS // 2)]
    steps_sent = sent() - before
    loop.save(path, snapshot(loop.model), {})
    losses += [loop.run(1) for _ in range(STEPS - STEPS // 2)]
    found = Evaluator(loop.model)(rows.validation)
    told = {
        "losses": losses,
        "state": digest(loop._variables()),
        "tower": {
            v.path.partition("/")[2]: float(np.abs(v.numpy()).sum())
            for v in loop.model.weights
            if len(v.shape) < 2
        },
        "nnz": loop.model.embedding.nnz(),
        "masks": as_lists(EntryScores(pruned_tables(loop.model)).masks(500)),
        "validation": [found.auc, found.logloss],
        "sent": steps_sent,
        "state_bytes": sum(value.nbytes for value in values(loop).values()),
    }
    if case.get("tables") != "sharded":  # whose checkpoints are one worker's
        return told
    again, _ = go_on(path, **case)
    same = zip(values(loop).values(), values(again).values(), strict=True)
    return told | {"resumed": all(np.array_equal(a, b) for a, b in same)}


def as_lists(masks):
    """The bits of masks, by table."""
    return [mask.tolist() for mask in masks.values()]


def foreign(tables="sharded"):
    """What becomes of a model of Keras's own, of which one column is left out: its tickets, and how it does."""
    import keras
    import numpy as np

    import pep_tf
    from pep_tf import distributed

    if (group := distributed.current()) is not None:
        group.tables = tables
    keras.utils.set_random_seed(1)
    ids = keras.Input((len(FIELDS),), dtype="int32")
    found = [
        keras.layers.Embedding(size, 4, name=name)(ids[:, i])
        for i, (name, size) in enumerate(FIELDS.items())
        if name != "c"
    ]
    logit = keras.layers.Dense(1)(keras.layers.Concatenate()(found))
    model = pep_tf.prunable(keras.Model(ids, logit), threshold_init=-6.0)
    common = {"batch_size": 51, "learning_rate": 1e-2}
    (ticket,) = pep_tf.prune(
        model,
        data(),
        budgets=[300],
        prune_epochs=1,
        threshold_learning_rate=0.2,
        check_every=6,
        **common,
    )
    result = ticket.retrain(data(), epochs=1, **common)
    return {
        "tables": sorted(
            {
                type(layer.table.row_table).__name__
                for layer in model.layers
                if hasattr(layer, "table")
            }
        ),
        "masks": as_lists({key: np.packbits(mask, 1) for key, mask in ticket.masks().items()}),
        "forced": ticket.forced,
        "test": [result.test.auc, result.test.logloss],
    }


def main(workers, folder, *cases):
    """Starts the workers as copies of this process, which has loaded TensorFlow but made no tensor."""
    from pep_tf.distributed.cluster import local_cluster
    from pep_tf.experiments import main as _  # noqa: F401

    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=worker, args=(config, folder, cases))
        for config in local_cluster(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return max(abs(process.exitcode) for process in processes)


def worker(config, folder, cases):
    os.environ["TF_CONFIG"] = config
    sys.exit(work(folder, *cases))


def work(folder, *cases):
    """The cases, and then a whole run of the command in `run/`."""
    from pep_tf import distributed
    from pep_tf.experiments.main import main

    folder = pathlib.Path(folder)
    with distributed.joined(120) as group:
        found = {name: train(folder / f"{name}.safetensors", **CASES[name]) for name in cases}
        found["foreign"] = foreign()
        (folder / f"{group.rank}.json").write_text(json.dumps(found))
        group.tables = "sharded"
        return main([f"--dataset={folder / 'rows.csv'}", *FLAGS, f"--run_dir={folder / 'run'}"])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
