"""What several workers would take: the figures on paper and on the page, and those of a dry run."""

import dataclasses
import pathlib

import pytest

from pep_tf.experiments import scaling_estimate as scaling
from pep_tf.experiments.config import Config
from pep_tf.experiments.dry_run import describe
from pep_tf.experiments.main import main
from tests import tiny

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "several_machines.md"
# 2,090,000 features of 64 numbers and one, thresholds by entry; distinct features of the first batch
# of 8,192 rows of Criteo's sample, hashed, and of its shares.
ROWS = {1024: 8755, 2048: 14_481, 4096: 23_851, 8192: 39_433}
PAPER = scaling.Job(
    tables=4 * 2_090_000 * (3 * 129 + 1),
    tower=1_320_000,
    width=65,
    distinct=ROWS,
    batch_size=8192,
    seconds=0.5,
    part=scaling.PART_WITH_MLP,
)


def test_bytes_on_paper():
    alone = dataclasses.replace(PAPER, tower=0)
    sharded, whole = (alone.on(8, kind, 25.0) for kind in (True, False))
    assert sharded.sent == pytest.approx(4.03e6, rel=0.01)
    assert whole.sent == pytest.approx(7 * 2.32e6, rel=0.01)
    assert (sharded.state * 8, whole.state) == (alone.tables, alone.tables)
    tower = dataclasses.replace(PAPER, distinct=dict.fromkeys(ROWS, 0))
    assert tower.on(8, False, 25.0).sent == pytest.approx(8 * 1_320_000 * 7 / 8)


def test_times_are_those_of_the_prototypes_at_the_same_rows_a_worker():
    """FM on 4 workers whose batch has 2.75 times the distinct rows of a share; without the network."""
    fm = scaling.Job(1, 0, 65, {25: 100, 100: 275}, 100, 1.0, scaling.PART_WITHOUT)
    share = 0.23 / 4 + 0.77 * 100 / 275  # one worker on a share
    times = {kind: 1 / (4 * fm.on(4, kind, 1e9).efficiency) / share for kind in (True, False)}
    assert times == {True: pytest.approx(1.0, abs=0.01), False: pytest.approx(2.45, abs=0.02)}


@pytest.mark.parametrize("gigabits", [10.0, 25.0])
def test_what_the_page_says_is_what_the_code_says(gigabits):
    page = PAGE.read_text("utf-8")
    block = "\n".join(f"    {line}" for line in scaling.told(PAPER, gigabits, 10**12))
    assert f"{gigabits:.0f} Gb/s:\n\n{block}\n" in page


def test_small_tables_stay_whole_unless_they_do_not_fit():
    job = dataclasses.replace(PAPER, distinct=dict.fromkeys(ROWS, 900))  # all that there are
    assert all(line.endswith("better replicated") for line in scaling.told(job, 25.0, 10**12))
    untimed = dataclasses.replace(PAPER, seconds=None)
    for memory, better in ((10**12, "replicated"), (10**9, "sharded")):
        lines = scaling.told(untimed, 25.0, memory)
        assert all(line.endswith(f"better {better}") and "%" not in line for line in lines)


def test_a_dry_run_tells_them(capsys, monkeypatch):
    monkeypatch.setattr("pep_tf.experiments.dry_run._measured", lambda *_: (0.01, 0.1))
    config = Config(model="fm", embedding_dim=4, batch_size=40, budgets=("50%",))
    lines = describe(config, tiny.DATA, gigabits=1.0).splitlines()[-3:]
    assert [line[:9] for line in lines] == ["2 workers", "4 workers", "8 workers"]
    rows = scaling.distinct_rows(tiny.DATA, 40, 0)
    assert sorted(rows) == [5, 10, 20, 40]
    assert rows[5] <= rows[40] <= 16
    job = scaling.job_of(config, tiny.DATA, 0.01)
    assert (job.width, job.tower) == (5, 0)
    assert f"{job.on(2, False, 1.0)}" in lines[0]
    assert main(["--dataset=movielens-small", "--network=5"]) == 1
    assert "`network` has no effect without --dry_run" in capsys.readouterr().err
