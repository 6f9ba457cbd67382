"""A search that is killed ends as if it had not been, for every algorithm and at every moment."""

import functools
import json

import pytest

from pep_tf.errors import RunError
from pep_tf.tuning.oracles import ALGORITHMS
from tests.tuning.quick_search import (
    TRIALS,
    Killed,
    Killer,
    oracle,
    quick,
    search,
    table,
    until_done,
)

algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """`whole(algorithm)`: the trials of an uninterrupted search."""

    @functools.cache
    def of(algorithm):
        return table(search(tmp_path_factory.mktemp(algorithm) / "s", algorithm))

    return of


@algorithms
def test_a_search_ends_with_all_its_trials(whole, algorithm):
    trials = whole(algorithm)
    assert len(trials) == TRIALS[algorithm]
    assert {status for _, _, status, _ in trials} <= {"COMPLETED", "FAILED"}
    values = [json.dumps(values, sort_keys=True) for _, values, _, _ in trials]
    assert len(set(values)) == len(values)


@algorithms
def test_the_same_seed_gives_the_same_search_and_another_seed_another(whole, algorithm, tmp_path):
    assert table(search(tmp_path / "again", algorithm)) == whole(algorithm)
    if algorithm != "grid":
        assert table(search(tmp_path / "other", algorithm, seed=1)) != whole(algorithm)


@algorithms
def test_killed_before_and_after_every_write(whole, algorithm, tmp_path, monkeypatch):
    Killer(monkeypatch, lambda n: ["before", "after"])
    made, kills = until_done(tmp_path / "s", algorithm)
    assert kills >= 4 * TRIALS[algorithm]
    assert table(made) == whole(algorithm)


@algorithms
def test_killed_in_the_midst_of_writes_that_leave_half_a_file(
    whole, algorithm, tmp_path, monkeypatch
):
    Killer(monkeypatch, lambda n: ["half"] if n in (1, 4, 9, 14) else [])
    made, kills = until_done(tmp_path / "s", algorithm)
    assert kills == 4
    assert table(made) == whole(algorithm)


@algorithms
def test_killed_within_three_trials_the_first_among_them(whole, algorithm, tmp_path):
    calls = []

    def work(task):
        calls.append(task.trial_id)
        if len(calls) in (1, 4, 7):
            raise Killed
        return quick(task)

    made, kills = until_done(tmp_path / "s", algorithm, work=work)
    assert kills == 3
    assert table(made) == whole(algorithm)
    assert len(calls) == TRIALS[algorithm] + 3  # only what was cut off was run again


@algorithms
def test_what_has_ended_is_not_run_again(whole, algorithm, tmp_path):
    search(tmp_path / "s", algorithm)
    again = search(
        tmp_path / "s", algorithm, work=lambda task: pytest.fail("nothing is left to run")
    )
    assert table(again) == whole(algorithm)


@algorithms
def test_a_search_goes_on_with_more_trials(algorithm, tmp_path):
    first = table(search(tmp_path / "s", algorithm, trials=6))
    more = table(search(tmp_path / "s", algorithm, trials=9))
    assert len(more) == 9
    assert more[:6] == first


def test_a_truncated_state_falls_back_by_one_write(whole, tmp_path):
    search(tmp_path / "s", "bayesian")
    path = tmp_path / "s" / "oracle.json"
    path.write_text(path.read_text()[:100])
    assert table(search(tmp_path / "s", "bayesian")) == whole("bayesian")


def test_two_truncated_states_are_an_error(tmp_path):
    search(tmp_path / "s", "random")
    for name in ("oracle.json", "oracle.previous.json"):
        (tmp_path / "s" / name).write_text('{"half":')
    with pytest.raises(RunError, match="oracle.previous.json are damaged. Choose another folder"):
        search(tmp_path / "s", "random")


def test_a_state_that_is_none(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "oracle.json").write_text('{"trials": []}')
    with pytest.raises(RunError, match="oracle.json is damaged or of another version: KeyError"):
        search(tmp_path / "s", "random")


def test_the_state_of_a_search_is_two_files(tmp_path):
    """What KerasTuner would write beside them is in them."""
    search(tmp_path / "s", "grid")
    names = {path.name for path in (tmp_path / "s").iterdir()}
    assert names == {"oracle.json", "oracle.previous.json"}
    trials = json.loads((tmp_path / "s" / "oracle.json").read_text())["trials"]
    assert len(trials) == len(oracle("grid").trials) + TRIALS["grid"]
