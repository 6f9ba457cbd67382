"""The study of methods side by side: its cut, which goes on after a kill."""

import json

import pytest

from experiments import methods_movielens_1m as command
from experiments import methods_samples
from experiments import methods_study as study
from experiments.starts_movielens_small import by_epoch, epochs_to
from pep_tf.training import fit
from pep_tf.training.metrics import metrics_of
from tests import tiny


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(command, "load_for_seed", lambda *_, **__: tiny.DATA)
    monkeypatch.setattr(command, "CUT_SIZES", ("60%bytes", "5%bytes"))
    monkeypatch.setitem(command.CUT, "embedding_dim", tiny.DIM)


def test_a_study_that_was_killed_goes_on_and_keeps_what_it_found(
    small, tmp_path, monkeypatch, capsys
):
    asked = [f"--out={tmp_path}", "--cut", "--seeds=1", "--trials=1", "--methods=hash"]

    class Killed(study.Run):
        def __call__(self):
            if self.config.method == "hash":
                raise KeyboardInterrupt
            return super().__call__()

    with monkeypatch.context() as patch:
        patch.setattr(study, "Run", Killed)
        assert command.main(asked) != 0
    done = tmp_path / "cells" / "full_seed_0_trial_0" / "all" / "rows.json"
    ended = done.stat().st_mtime_ns
    assert command.main(asked) == 0
    assert done.stat().st_mtime_ns == ended
    found = json.loads((tmp_path / "results.json").read_text())
    full, small_table = found["rows"]
    assert (full["stage"], small_table["method"]) == ("baseline", "hash")
    assert small_table["table_bytes"] <= 0.6 * 4 * 16 * 5
    assert "at least 39 bytes" in found["cannot"]["hash 5%bytes"]
    assert (tmp_path / "frontier.png").stat().st_size > 5000
    [line] = [x for x in found["summary"] if x["method"] == "hash"]
    expected = small_table["stored_test_auc"] - full["test_auc"]
    assert line["difference_to_full"] == pytest.approx(expected)
    assert line["capped"]
    assert small_table["size"] == "60%bytes"
    assert command.main([*asked, "--model=deepfm"]) == 1
    assert "`out` must be another folder" in capsys.readouterr().err


def test_each_size_goes_by_the_best_trial_of_the_nearest_that_was_searched(tmp_path):
    aucs = {0: (0.84, 0.8), 1: (0.85, 0.7), 2: (0.7, 0.82)}

    class Known(study.Study):
        def _cell(self, method, data, seed, number, sizes):
            own = zip(study.SEARCHED, aucs[number], strict=True)
            return {"rows": [{"size": s, "stored_validation_auc": auc} for s, auc in own]}

    search = {}
    chosen = Known(tmp_path, {}, None, ["pep"], command.SIZES, 1, 3, ())._chosen(
        "pep", None, search
    )
    assert chosen == {1: ["10%bytes", "5%bytes", "3%bytes", "2%bytes"], 2: ["1%bytes"]}
    assert search["pep"]["validation_auc"] == {
        "3%bytes": [0.84, 0.85, 0.7],
        "1%bytes": [0.8, 0.7, 0.82],
    }


def test_the_auc_is_that_of_what_is_stored(monkeypatch):
    answers = iter([0.1 * tiny.DATA.test.labels + 0.2])
    monkeypatch.setattr(study, "saved_model_answer", lambda *_: next(answers))
    assert study._stored_auc(None, tiny.DATA.test) == 1.0
    assert metrics_of(tiny.DATA.test.labels, tiny.DATA.test.labels).auc == 1.0


def test_an_unknown_method_is_refused(tmp_path, capsys):
    assert command.main([f"--out={tmp_path}", "--methods=sha"]) == 1
    assert "`methods` must be some of full, uniform, prefix" in capsys.readouterr().err
    assert command.main([f"--out={tmp_path}", "--methods=prefix", "--model=deepfm"]) == 1
    assert "for model=deepfm. Received: prefix" in capsys.readouterr().err


def test_the_controls_do_not_depend_on_the_sizes(tmp_path):
    class Asked(study.Study):
        def _rows(self, path, method, changes, data):
            asked.append((path, changes))
            return []

    asked = []
    for sizes in (["60%bytes"], ["50%bytes", "40%bytes"]):
        own = Asked(tmp_path, {**command.CUT}, None, ["uniform"], sizes, 1, 1, (2,))
        own._cell("uniform", tiny.DATA, 0, 0, sizes)
        (tmp_path / "cells" / "uniform_seed_0_trial_0" / "all" / "rows.json").unlink()
    assert asked[0] == asked[1]


def test_samples_are_studied_alike(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(methods_samples, "load_for_seed", lambda *_, **__: tiny.DATA)
    monkeypatch.setitem(methods_samples.CONFIG, "embedding_dim", tiny.DIM)
    monkeypatch.setattr(methods_samples, "SIZES", ("50%bytes",))
    monkeypatch.setattr(methods_samples, "METHODS", ())
    assert methods_samples.main([f"--out={tmp_path}", "--cut"]) == 0
    found = json.loads((tmp_path / "planted" / "results.json").read_text())
    assert [row["method"] for row in found["rows"]] == ["full"]


def test_epochs_to_an_auc_are_counted_from_the_first():
    result = fit(tiny.model("fm"), tiny.DATA, tiny.settings(epochs=2, checkpoint_every=3))
    aucs = by_epoch(result)
    assert len(aucs) == 2
    assert max(aucs) == result.validation.auc
    assert epochs_to(max(aucs), aucs) == result.best_epoch
