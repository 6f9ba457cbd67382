"""What each of several workers does in `test_steps.py`, and one alone: the same steps, told as JSON.

`python -m tests.distributed.steps WORKERS FOLDER SEED CASE ...` starts the workers.
"""

import hashlib
import json
import multiprocessing
import os
import pathlib
import random
import signal
import sys
import threading
import time
from multiprocessing import connection

from tests.distributed.devices import two_devices

STEPS, KEPT = 50, 500
FIELDS = {"a": 50, "b": 300, "c": 20}
CASES = {
    "fm": {"model": "fm"},
    "deepfm, sharded": {"model": "deepfm", "tables": "sharded"},
    "fm, updated whole": {"model": "fm", "dense_below": None},
    "deepfm": {"model": "deepfm"},
    "fm, sharded": {"model": "fm", "tables": "sharded"},
    # The workers as for a GPU, against one as for a CPU: XLA draws other numbers for dropout.
    "fm, updated whole, compiled": {"model": "fm", "dense_below": None, "cut": "GPU"},
    "deepfm, compiled": {"model": "deepfm", "dropout": 0, "cut": "GPU"},
    "deepfm, compiled, sharded": {
        "model": "deepfm",
        "tables": "sharded",
        "dropout": 0,
        "cut": "GPU",
    },
}
FIRST = ["fm", "deepfm, sharded"]  # those of the ordinary run
KILLED, EVERY = (
    {"model": "deepfm", "tables": "sharded", "dense_below": None},
    4,
)  # steps to a checkpoint
FLAGS = [
    *("--label=clicked", "--features=user=vocabulary,item=vocabulary", "--embedding_dim=8"),
    *("--batch_size=60", "--learning_rate=0.01", "--epochs=1", "--prune_epochs=1"),
    *("--threshold_learning_rate=0.1", "--budgets=20%", "--check_every=4", "--checkpoint_every=4"),
]


def table(path):
    """A table of clicks, whose fields have 74 values; of its 481 rows for training 60 make a batch, and 1."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"user": rng.integers(0, 30, 602), "item": rng.integers(0, 40, 602)})
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


def loop_of(model, dense_below=1, tables="replicated", dropout=0.2):
    """A new loop; also the data."""
    import keras

    from pep_tf import distributed
    from pep_tf.models import build_model
    from pep_tf.training import Settings
    from pep_tf.training.loop import Loop

    if (group := distributed.current()) is not None:
        group.tables = tables
    keras.utils.set_random_seed(1)
    tower = {"dropout": dropout, "mlp_widths": (16,)} if model == "deepfm" else {}
    built = build_model(model, FIELDS, embedding_dim=8, threshold_init=-6.0, **tower)
    # 24 batches of an epoch: the last is of 27 rows, which no number of workers divides.
    settings = Settings(
        batch_size=51, learning_rate=1e-2, threshold_learning_rate=0.05, dense_below=dense_below
    )
    rows = data()
    return Loop("steps", built, settings.optimizer(built), rows.train, settings), rows


def go_on(loop, path):
    """The cut at a checkpoint, and losses from there to the last step."""
    from pep_tf.training.weights import snapshot

    loop.restore(path, snapshot(loop.model))
    return cut(loop)[0], [loop.run(1) for _ in range(STEPS - loop.step)]


def cut(loop):
    """The masks of as many entries as a ticket has, by table; also what was cut by."""
    from pep_tf.training.pruned_tables import EntryScores, pruned_tables

    scores = EntryScores(pruned_tables(loop.model))
    return as_lists(scores.masks(KEPT)), scores.scores


def train(path, cut=None, **case):
    """Losses of all steps and what they end with; a checkpoint half way. Also the loop."""
    from pep_tf import distributed
    from pep_tf.device import CPU, traced_for

    with traced_for(cut if cut and distributed.current() else CPU):
        return trained(path, **case)


def trained(path, **case):
    import numpy as np

    from pep_tf import distributed
    from pep_tf.training import Evaluator
    from pep_tf.training.replicas import digest
    from pep_tf.training.stored import stored_values
    from pep_tf.training.weights import snapshot

    def sent():
        return 0 if group is None else int(group.sent)

    (loop, rows), group = loop_of(**case), distributed.current()
    before = sent()
    losses = [loop.run(1) for _ in range(STEPS // 2)]
    steps_sent = sent() - before
    loop.save(path, snapshot(loop.model), {})
    half = cut(loop)[0]
    losses += [loop.run(1) for _ in range(STEPS - STEPS // 2)]
    masks, scores = cut(loop)
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
        "masks_half_way": half,
        "masks": masks,
        "scores": as_lists(scores),
        "validation": [found.auc, found.logloss],
        "sent": steps_sent,
        "state_bytes": sum(value.nbytes for value in stored_values(loop._variables()).values()),
    }
    return told, loop


def as_lists(masks):
    """What JSON holds of arrays, by table."""
    return [mask.tolist() for mask in masks.values()]


def foreign(tables="sharded"):
    """What becomes of a model of Keras's own, of which one column is left out: its tickets, and how it does."""
    import keras

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
    hidden = keras.layers.BatchNormalization()(keras.layers.Concatenate()(found))
    logit = keras.layers.Dense(1)(keras.layers.Dropout(0.0)(hidden))
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
        "masks": as_lists(ticket.masks()),
        "forced": ticket.forced,
        "test": [result.test.auc, result.test.logloss],
    }


def survive(path, kill):
    """Trains from the last checkpoint to the end, with one every few steps; what that comes to.

    Args:
        path: of the checkpoint.
        kill: None, or the worker that is killed, after which step, and how many seconds later, or how
            many bytes of its file of the next checkpoint it has written by then.
    """
    from pep_tf import distributed
    from pep_tf.training.stored import stored_values
    from pep_tf.training.weights import snapshot

    loop, _ = loop_of(**KILLED)
    if path.exists():
        loop.restore(path, snapshot(loop.model))
    rank, after, seconds, written = kill or (None, 0, 0, None)
    while loop.step < STEPS:
        loss = loop.run(1)
        if distributed.current().rank == rank and loop.step >= after:
            rank = None
            if written is None:
                threading.Timer(seconds, end).start()
            else:
                write_a_part(written)
        if loop.step % EVERY == 0:
            loop.save(path, snapshot(loop.model), {})
    found = hashlib.sha256()
    for value in stored_values(loop._variables()).values():
        found.update(value.tobytes())
    return [loss, found.hexdigest()]


def end():
    os.kill(os.getpid(), signal.SIGKILL)


def write_a_part(written):
    """Has the next file of a checkpoint be left with so many bytes by a process that is killed."""
    import safetensors.numpy

    def save(arrays, path, facts):
        pathlib.Path(path).write_bytes(safetensors.numpy.save(arrays, facts)[:written])
        end()

    safetensors.numpy.save_file = save


def kills(workers, seed):
    """Four moments, one of them within the writing of a checkpoint."""
    drawn = random.Random(seed)
    steps, inside = sorted(drawn.sample(range(1, STEPS - 8), 4)), drawn.randrange(4)
    return [
        (
            drawn.randrange(workers),
            step,
            drawn.random() / 50,
            drawn.randrange(4000) if i == inside else None,
        )
        for i, step in enumerate(steps)
    ]


def surviving(path, kill):
    from pep_tf import distributed

    with distributed.joined(120) as group:
        found = survive(path, kill)
        path.with_name(f"{path.stem}.{group.rank}.json").write_text(json.dumps(found))


def started(workers, work, *arguments):
    """Workers that are copies of this process, until all end or one has failed; their exit codes."""
    from pep_tf.distributed.cluster import local_cluster

    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=worker, args=(config, work, *arguments))
        for config in local_cluster(workers)
    ]
    for process in processes:
        process.start()
    left = {process.sentinel for process in processes}
    while left and not any(process.exitcode for process in processes):
        left -= set(connection.wait(left))
    until = time.monotonic() + 30  # as much as the others of a lost worker have
    for process in processes:
        process.join(max(0, until - time.monotonic()))
    assert all(process.exitcode is not None for process in processes), "still there"
    return [process.exitcode for process in processes]


def main(workers, folder, seed, *cases):
    """Starts the workers as copies of this process, which has loaded TensorFlow but made no tensor.

    Then others that are killed at moments drawn by the seed, each time with new ones that go on.
    """
    from pep_tf.distributed.join import LOST
    from pep_tf.experiments import main as _  # noqa: F401

    folder = pathlib.Path(folder)
    if any(codes := started(workers, work, folder, *cases)):
        return max(map(abs, codes))
    for kill in [*kills(workers, seed), None]:
        codes = started(workers, surviving, folder / "killed.safetensors", kill)
        expected = {0} if kill is None else {-signal.SIGKILL, LOST}
        if set(codes) != expected:
            print(f"after {kill} the workers ended with {codes}", file=sys.stderr)
            return 1
    codes += started(workers, surviving, folder / "unbroken.safetensors", None)
    return max(map(abs, codes + started(1, two_devices, folder / "two_devices.json")))


def worker(config, work, *arguments):
    os.environ["TF_CONFIG"] = config
    sys.exit(work(*arguments))


def work(folder, *cases):
    """The cases, and then a whole run of the command in `run/`."""
    from pep_tf import distributed
    from pep_tf.experiments.main import main

    with distributed.joined(120) as group:
        found = {name: train(folder / f"{name}.safetensors", **CASES[name])[0] for name in cases}
        found["foreign"] = foreign()
        (folder / f"{group.rank}.json").write_text(json.dumps(found))
        group.tables = "sharded"
        return main([f"--dataset={folder / 'rows.csv'}", *FLAGS, f"--run_dir={folder / 'run'}"])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *sys.argv[4:]))
