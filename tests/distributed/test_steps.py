"""Several workers take the steps of one, end with the same bits, and go on from each other's checkpoints."""

import json
import random
import shutil

import numpy as np
import pytest

from benchmarks.scaling import bytes_on_paper
from pep_tf.training import Ticket
from tests.distributed import namespace, steps
from tests.experiments.command import called


def launched(folder, workers, cases, timeout=850):
    """What each worker has found, by case; its checkpoints, and the run of the command, are in `folder`."""
    steps.table(folder / "rows.csv")
    seed = random.randrange(1 << 30)
    command = ["-m", "tests.distributed.steps", str(workers), str(folder), str(seed), *cases]
    ended = namespace.run(*command, timeout=timeout)
    told = f"moments of seed {seed}: {steps.kills(workers, seed)}"
    assert ended.returncode == 0, ended.stderr[-3000:] + told
    for rank in range(workers):  # the same bits whether they were killed or not
        killed, unbroken = (folder / f"{run}.{rank}.json" for run in ("killed", "unbroken"))
        assert killed.read_bytes() == unbroken.read_bytes(), told
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(workers)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("steps")


@pytest.fixture(scope="module")
def found(folder):
    """Of two workers: one launch for all tests of the ordinary run."""
    return launched(folder, 2, steps.FIRST)


def check(found, case, folder):
    """Against one worker, and that it goes on from their checkpoint."""
    own = [of[case] for of in found]
    one, loop = steps.train(folder / "one.safetensors", **steps.CASES[case])
    np.testing.assert_allclose(own[0]["losses"], one["losses"], rtol=0, atol=1e-6)
    check_masks(case, own[0], one)
    for name in ("losses", "state", "validation", "nnz", "masks_half_way", "masks"):
        assert all(of[name] == own[0][name] for of in own), name
    assert own[0]["nnz"] == one["nnz"]
    # The gradient of a bias below BatchNorm is rounding, which Adam makes steps of; running means lag.
    below = "dense_0/bias", "moving_mean"
    atol = 1e-5 if case.startswith("fm") else 2e-3
    np.testing.assert_allclose(own[0]["validation"], one["validation"], rtol=0, atol=atol)
    for name, value in one["tower"].items():
        if not name.endswith(below):
            np.testing.assert_allclose(own[0]["tower"][name], value, rtol=1e-4, err_msg=name)
    if not case.endswith("sharded"):
        return
    masks, losses = steps.go_on(loop, folder / f"{case}.safetensors")
    assert masks == own[0]["masks_half_way"]  # of the same state, by shards and whole
    expected = own[0]["losses"][steps.STEPS // 2 :]
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-6)
    held, whole = [of["state_bytes"] for of in own], one["state_bytes"]
    tower = (sum(held) - whole) / (len(own) - 1)  # which each worker has
    assert max(held) - tower < 1.1 / len(own) * (whole - tower)


@pytest.mark.parametrize("case", steps.FIRST)
def test_two_workers_take_the_steps_of_one(found, folder, case):
    check(found, case, folder)


@pytest.mark.slow
def test_three_workers(tmp_path):
    found = launched(tmp_path, 3, steps.CASES, 2400)
    for case in steps.CASES:
        check(found, case, tmp_path)


def test_bytes_sent_are_those_on_paper(found):
    """But for parts that are filled up to few sizes, which matters most where they are small."""
    _, data = steps.loop_of("fm")
    paper, rows = np.zeros(2), data.schema.offsets
    for epoch, batches in ((0, 24), (1, 1)):  # the first half of the steps
        for ids, *_ in data.train.batches(51, seed=0, epoch=epoch).take(batches):
            for rank in range(2):
                own = ids[len(ids) * rank // 2 : len(ids) * (rank + 1) // 2] + rows
                # DeepFM's tower, its losses, and what BatchNorm sums there and back.
                paper[rank] += bytes_on_paper(len(np.unique(own)), 8, 2, 450 + 4 * 16)
    sent = np.array([own["deepfm, sharded"]["sent"] for own in found])
    assert (0.9 * paper < sent).all()
    assert (sent < 1.5 * paper).all()


def test_a_missing_shard(found, folder, tmp_path):
    """A row that ended at its cap of epochs would go on from its checkpoint."""
    shutil.copytree(folder / "run", tmp_path / "run")
    (second,) = (tmp_path / "run/work").glob("baseline.*.1of2.safetensors")
    second.unlink()
    more = (*steps.FLAGS, "--epochs=2", f"--run_dir={tmp_path / 'run'}", "--resume")
    code, _, err = called(f"--dataset={folder / 'rows.csv'}", *more)
    assert code == 1
    assert f"a checkpoint of 2 shards, of which {second} is missing" in err


def test_two_devices_of_a_process(found, folder):
    """What a step sends goes from device to device."""
    for rank, told in enumerate(json.loads((folder / "two_devices.json").read_text())):
        rows, total, swapped, most = (value for value, _ in told)
        assert rows == [[0.0, 0.0]] * 3 + [[1.0, 1.0]] * 4
        assert (total, swapped, most) == (8.0, [1.0, 2.0], 8)
        assert {device for _, device in told} == {f"CPU:{rank}"}


def differing(what, masks, like):
    """Which entries only several workers keep, or only one; they keep as many."""
    several, alone = (np.concatenate([mask.ravel() for mask in of]) != 0 for of in (masks, like))
    assert several.sum() == alone.sum()
    other = several != alone
    print(f"{what}: {other.sum()} of {alone.sum()} entries that are kept differ from one worker's")
    return other


def check_masks(what, found, like):
    """One worker's but where its scores lie within 1e-6 of the cut."""
    scores = [np.array(table, np.float32) for table in like["scores"]]
    masks = [
        [
            np.unpackbits(np.array(bits, np.uint8), 1, count=table.shape[1])
            for bits, table in zip(of["masks"], scores, strict=True)
        ]
        for of in (found, like)
    ]
    other = differing(what, *masks)
    flat, kept = (np.concatenate([x.ravel() for x in of]) for of in (scores, masks[1]))
    assert (np.abs(flat[other] - flat[kept == 1].min()) <= 1e-6).all(), flat[other]


def test_a_model_of_ones_own(found):
    """Its masks are one worker's but where scores are as good as equal; so is what it comes to."""
    one, several = steps.foreign(), [own["foreign"] for own in found]
    assert several[0] == several[1]
    assert (several[0]["tables"], one["tables"]) == (["ShardedTable"], ["RowTable"])
    assert several[0]["forced"] == one["forced"]
    masks = [[np.array(mask) for mask in of["masks"]] for of in (several[0], one)]
    assert differing("a model of Keras's own", *masks).sum() <= 2
    np.testing.assert_allclose(several[0]["test"], one["test"], rtol=0, atol=1e-3)


def test_the_command(found, folder, tmp_path):
    check_run(folder / "run", folder / "rows.csv", tmp_path / "one")


def check_run(run, table, one, *flags, logloss=1e-3):
    """A run of several workers against that of one, which is made."""
    flags = (*steps.FLAGS, *flags, "--export_format=none", "--notensorboard")
    code, _, err = called(f"--dataset={table}", *flags, f"--run_dir={one}")
    assert code == 0, err
    several, alone = (json.loads((path / "results.json").read_text()) for path in (run, one))
    for row, like in zip(several, alone, strict=True):
        assert abs(row["test_auc"] - like["test_auc"]) < 0.02  # 60 rows: a pair is 0.001
        assert abs(row["test_logloss"] - like["test_logloss"]) < logloss
        same = ("stage", "nnz", "parameters", "bytes", "best_epoch", "epochs")
        assert {name: row[name] for name in same} == {name: like[name] for name in same}
    (ticket,) = (one / "tickets").glob("*.safetensors")
    masks = [Ticket.load(path / "tickets" / ticket.name).mask() for path in (run, one)]
    assert masks[1].sum() == int(ticket.stem.removeprefix("ticket_"))
    assert differing(f"the command's {ticket.stem}", *([mask] for mask in masks)).sum() <= 2
    assert (run / "export" / ticket.stem / "1/saved_model.pb").exists()
    assert not (run / "work/prune").exists()
    for shard in run.rglob("*of2*"):  # of a row at its cap of epochs, which may go on
        assert shard.with_name(f"{shard.name.partition('.')[0]}.safetensors").exists()
