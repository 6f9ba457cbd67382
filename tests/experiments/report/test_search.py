"""The page of a search."""

import json
import random

import numpy as np
import pytest

from pep_tf.errors import RunError
from pep_tf.experiments.report import write_report
from pep_tf.experiments.report.search import importance, read_search
from tests.browser import chromium, opened  # noqa: F401
from tests.experiments.report.test_bad_input import HOSTILE, harmless


def search(trials: int, seed: int = 0) -> dict:
    """A search in which `rate` matters, `kind` a little and `noise` not at all; every 7th trial fails."""
    rng = random.Random(seed)
    found = []
    for index in range(trials):
        values = {
            "rate": 10 ** rng.uniform(-4, -1),
            "kind": rng.choice(["feature", "field"]),
            "noise": rng.uniform(0, 1),
        }
        score = 0.8 + 0.02 * np.log10(values["rate"]) + 0.01 * (values["kind"] == "feature")
        failed = index % 7 == 6
        curve = [
            {"budget": b, "parameters": b + 20, "validation_auc": score - 1 / b} for b in (100, 400)
        ]
        found.append(
            {
                "id": f"{index:02d}",
                "status": "FAILED" if failed else "COMPLETED",
                "score": None if failed else score,
                "values": values,
                "curve": [] if failed else curve,
                "seconds": 60.0,
            }
        )
    done = [t for t in found if t["score"] is not None]
    best = max(done, key=lambda t: t["score"])["id"] if done else ""
    front = [{"trial": t["id"], **t["curve"][1], "test_auc": 0.7} for t in done if t["id"] == best]
    return {
        "kind": "search",
        "algorithm": "random",
        "objective": "validation AUC",
        "direction": "max",
        "dataset": "tiny",
        "budgets": [100, 400],
        "space": {"rate": {"kind": "float"}},
        "trials": found,
        "pareto": front,
        "best": best,
    }


def write(folder, found):
    (folder / "search.json").write_text(json.dumps(found))
    return folder


def test_importance_finds_what_matters(tmp_path):
    ranking = importance(read_search(write(tmp_path, search(60))))
    assert ranking.names == ("rate", "kind", "noise")
    assert ranking.drop[0] > 0.5 > ranking.drop[1] > abs(ranking.drop[2])
    assert ranking.rho[0] > 0.8
    assert ranking.rho[1] is None
    assert 0.5 < ranking.r2 < 1


def test_no_importance_from_noise_is_claimed(tmp_path):
    found = search(30)
    rng = random.Random(1)
    for trial in found["trials"]:
        trial["score"] = None if trial["score"] is None else rng.random()
    assert importance(read_search(write(tmp_path, found))).r2 < 0.2


def test_page(chromium, tmp_path):  # noqa: F811
    found = search(24)
    page = write_report([write(tmp_path, found)])
    with opened(chromium, page) as (shown, misdeeds):
        names = shown.eval_on_selector_all("figure", "found => found.map(f => f.id)")
        values = shown.eval_on_selector_all("#trials data", "found => found.map(d => +d.value)")
        assert misdeeds == []
    expected = ["pareto", "scores", "importance", "by_parameter"]
    assert names == [f"figure-{name}" for name in expected]
    scores = [t["score"] for t in found["trials"] if t["score"] is not None]
    assert values == sorted(scores, reverse=True)
    assert "3 of 24 trials did not complete" in harmless(page)


def test_where_it_comes_from(tmp_path):
    found = search(6)
    found["split_md5"] = {"train": "a" * 32, "validation": "b" * 32, "test": "c" * 32}
    (tmp_path / "best.py").touch()
    (tmp_path / "config.json").write_text('{"seed": 5, "l2": 1e-05}')
    command = "python -m pep_tf.tuning.search --seed=5"
    environment = {"command": command, "machine": {"cores": 2}, "versions": {"keras": "3.15.1"}}
    (tmp_path / "environment.json").write_text(json.dumps(environment))
    words = harmless(write_report([write(tmp_path, found)]))
    for part in (command, "best.py", "a" * 32, "1e-05", "cores", "3.15.1", "The search space"):
        assert part in words
    assert "No environment.json" not in words


def test_trials_that_ended_early_are_told_from_whole_ones(tmp_path):
    found = search(6)
    found["trials"][1] |= {"stopped": True, "share": 1.0}
    found["trials"][2] |= {"share": 1 / 3}
    words = harmless(write_report([write(tmp_path, found)]))
    assert "2 of 6 trials ended before a whole pruning" in words
    assert "given up half way" in words
    assert "33.3\N{NO-BREAK SPACE}% of the pruning" in words


@pytest.mark.parametrize("trials", [0, 1, 5])
def test_few_trials_are_said(trials, tmp_path):
    words = harmless(write_report([write(tmp_path, search(trials))]))
    assert "it takes ten completed trials" in words
    assert ("no trial yet" in words) == (trials == 0)


def test_what_is_not_cut_is_not_called_so(tmp_path):
    (tmp_path / "config.json").write_text('{"method": "hash"}')
    words = harmless(write_report([write(tmp_path, search(2))]))
    assert "Pareto front as trained" in words
    assert "as cut" not in words


def test_hostile(tmp_path):
    found = json.loads(json.dumps(search(12)).replace("rate", "RATE"))
    for key in ("algorithm", "objective", "dataset", "best"):
        found[key] = HOSTILE
    for trial in found["trials"]:
        trial["values"][HOSTILE] = HOSTILE + str(random.random())
        trial["id"] = HOSTILE
    found["trials"] += [3, {"values": 4, "curve": [{"budget": "x"}]}]
    found["pareto"] += ["<b>", {"budget": 1, "parameters": "<b>", "validation_auc": 1}]
    harmless(write_report([write(tmp_path, found)]))


@pytest.mark.parametrize("text", ["[]", '{"kind": "run"}', "{", '"search"'])
def test_damaged(text, tmp_path):
    (tmp_path / "search.json").write_text(text)
    with pytest.raises(RunError, match=r"search\.json is damaged"):
        write_report([tmp_path])
