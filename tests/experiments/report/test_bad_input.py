"""Run folders that are unfinished, damaged, of another version or hostile."""

import dataclasses
import html.parser
import json
import pathlib
import shlex
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pep_tf.errors import RunError
from pep_tf.experiments.report import __main__ as command
from pep_tf.experiments.report import commands, write_report
from pep_tf.experiments.report.reading import read_run
from pep_tf.experiments.text import clean
from pep_tf.training.state import with_checksum
from tests.browser import chromium, opened  # noqa: F401
from tests.experiments.report import folders

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>$\\frac{</svg>{{7*7}}"


class Tags(html.parser.HTMLParser):
    """Collects elements, attributes and addresses."""

    def __init__(self, page: pathlib.Path) -> None:
        super().__init__()
        self.elements, self.attributes, self.links, self.words = set(), set(), set(), ""
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value for name, value in attrs if name in ("href", "src", "xlink:href")}

    def handle_data(self, data):
        self.words += data


def harmless(page: pathlib.Path) -> str:
    """Checks that a page holds nothing that can act; returns its words."""
    tags = Tags(page)
    assert not tags.elements & {
        "script",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "foreignobject",
    }
    assert "img" not in tags.elements
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert all(link.startswith(("#", "data:,", "data:image/png;base64,")) for link in tags.links)
    return tags.words


def words_of(folder: pathlib.Path) -> str:
    return harmless(write_report([folder]))


def test_whole(tmp_path):
    words = words_of(folders.write_run(tmp_path))
    assert "Mind this" in words  # there are no exports to serve
    assert "nothing to serve" in words
    assert "No environment.json" not in words


def test_unfinished_shows_the_stages_that_are_done(tmp_path):
    folder = folders.write_run(tmp_path)
    (folder / "results.json").unlink()
    (folder / "stages").mkdir()
    for row in folders.rows()[:3]:
        path = folder / "stages" / f"{row.stage}_{row.budget}.json"
        path.write_text(json.dumps(dataclasses.asdict(row)))
    words = words_of(folder)
    assert "has not finished: 3 of its tables are done" in words
    assert "One budget only" in words


def test_tickets_that_thresholds_had_passed_by_far(tmp_path):
    folder = folders.write_run(tmp_path)
    told = json.loads((folder / "history.json").read_text())
    told["prune"] = [{"step": 20, "nnz": 140}, {"step": 40, "nnz": 2}]
    (folder / "history.json").write_text(json.dumps(told))
    notes = [note for note in read_run(folder).notes if "thresholds had left 2:" in note]
    assert [note.split(" entries")[0] for note in notes] == ["The ticket of 76", "The ticket of 30"]
    assert "2: what it keeps beyond them was 0 until it was retrained." in notes[0]


def test_what_one_seed_lacks_is_said_of_that_seed(tmp_path):
    for seed in (0, 1):
        folders.write_run(tmp_path / "seeds" / str(seed), folders.rows(seed))
    for path in (tmp_path / "seeds" / "1" / "tickets").iterdir():
        path.unlink()
    folders.write_rows(tmp_path, [*folders.rows(0), *folders.rows(1)[:3]])
    words = words_of(tmp_path)
    assert "Seed 1: No tickets" in words
    assert "Not every table has all seeds" in words
    assert "Learned embedding size by field" in words  # of the other seed


def test_crashed_before_the_first_stage(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RunError, match="neither results.json nor a finished stage"):
        write_report([tmp_path])
    assert not (tmp_path / "report.html").exists()


def test_results_alone(tmp_path):
    folders.write_rows(tmp_path, folders.rows())
    words = words_of(tmp_path)
    for missing in ("config.json", "environment.json", "history.json", "No tickets", "exported"):
        assert missing in words


def test_rows_of_an_older_version(tmp_path):
    found = [dataclasses.asdict(row) for row in folders.rows()]
    for row in found:
        for name in ("embedding_dim", "first_order", "tower", "export_bytes"):
            del row[name]
    (tmp_path / "results.json").write_text(json.dumps(found))
    (tmp_path / "history.json").write_text(json.dumps([{"step": 1, "nnz": 5, "loss": 0.5}]))
    words = words_of(tmp_path)
    assert "bytes are computed" in words
    assert "Non-zeros while pruning" in words


def test_rows_of_a_newer_version(tmp_path):
    found = [dataclasses.asdict(row) | {"energy": 3} for row in folders.rows()]
    (tmp_path / "results.json").write_text(json.dumps(found))
    assert "energy are not known here" in words_of(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "damaged"),
        ("{}", "list of rows"),
        ("[]", "no rows"),
        ("[3]", "must be an object"),
        ('[{"stage": "ticket"}]', "`model` must be str"),
        ("[" * 100_000, "damaged"),
        (
            json.dumps([with_checksum({"nnz": 5})]).replace("5", "6", 1),
            "changed since it was written",
        ),
    ],
)
def test_damaged_results_are_one_clear_error(text, message, tmp_path, capsys):
    (tmp_path / "results.json").write_text(text)
    assert command.main([str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert str(tmp_path) in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("value", ["<b>0.9</b>", None, True, 1e400, [0.9]])
def test_a_metric_that_is_no_number_is_refused(value, tmp_path):
    found = [dataclasses.asdict(folders.row()) | {"test_auc": value}]
    (tmp_path / "results.json").write_text(json.dumps(found))
    with pytest.raises(RunError, match="`test_auc` must be float"):
        write_report([tmp_path])


def test_damaged_parts_cost_only_what_they_hold(tmp_path):
    folder = folders.write_run(tmp_path)
    (folder / "tickets" / "ticket_30.safetensors").write_bytes(b"\0" * 40)
    (folder / "history.json").write_text('{"prune": [{"step": "x"}, 3], "baseline": 4}')
    (folder / "config.json").write_text("nothing")
    told = json.dumps(with_checksum({"device": "CPU of 2 cores"}))
    (folder / "environment.json").write_text(told.replace("2 cores", "3 cores"))
    (folder / "feature_counts.safetensors").write_bytes(b"")
    words = words_of(folder)
    assert "A ticket is left out" in words
    assert "environment.json is damaged: it has changed since it was written" in words
    assert "Sizes by frequency are not shown" in words
    assert "Learned embedding size by field" in words


def test_no_survivor_in_a_field_is_said(tmp_path):
    assert "Nothing is kept in: item at 5.26\N{NO-BREAK SPACE}%, hour" in words_of(
        folders.write_run(tmp_path)
    )


def test_nothing_survives_at_all(tmp_path):
    rows = [folders.row(), folders.ticket_row(0, 0.5)]
    folder = folders.write_run(tmp_path, rows)
    for path in (folder / "tickets").glob("*.safetensors"):
        path.unlink()
    folders.write_ticket(folder, np.zeros((19, folders.DIM), bool), folders.FIELDS)
    assert "100\N{NO-BREAK SPACE}% of the features keep none" in words_of(folder)


def test_no_baseline(tmp_path):
    folders.write_rows(tmp_path, [folders.ticket_row(30, 0.78), folders.ticket_row(8, 0.7)])
    assert "No baseline" in words_of(tmp_path)


def test_a_metric_that_is_not_a_number(tmp_path):
    folders.write_rows(tmp_path, [folders.row(test_auc=float("nan")), folders.ticket_row(8, 0.7)])
    words_of(tmp_path)


def hostile_run(folder: pathlib.Path) -> pathlib.Path:
    """Markup in every place that takes text."""
    texts = {"dataset": HOSTILE, "model": HOSTILE, "granularity": HOSTILE, "init": HOSTILE}
    splits = {"split_md5": {"test": HOSTILE}, "versions": {HOSTILE: HOSTILE}}
    folders.write_run(folder, [dataclasses.replace(r, **texts, **splits) for r in folders.rows()])
    (folder / "config.json").write_text(json.dumps({HOSTILE: HOSTILE, "dataset": [HOSTILE]}))
    facts = {
        "command": f"run; rm -rf / {shlex.quote(HOSTILE)}",
        "started": HOSTILE,
        "device": HOSTILE,
    }
    (folder / "environment.json").write_text(
        json.dumps({**facts, "machine": {HOSTILE: HOSTILE}, "versions": HOSTILE})
    )
    checks = [{"step": i, "loss": 1 / i, HOSTILE: 1} for i in (1, 2)]
    (folder / "history.json").write_text(json.dumps({HOSTILE: checks, "ticket_9<b>": checks}))
    for path in (folder / "tickets").glob("*.safetensors"):
        path.unlink()
    fields = {HOSTILE: 6, "item\ud800\x1b[2J": 9, "映画": 4}
    folders.write_ticket(folder, np.eye(19, folders.DIM, dtype=bool), fields)
    request = folder / "export" / "ticket_8" / "1"
    (request / "assets.extra" / "requests").mkdir(parents=True)
    (request / "assets.extra" / "requests" / "serving_default.json").write_text("{}")
    (request / "saved_model.pb").write_bytes(b"")
    return folder


def test_nothing_in_a_run_can_act(chromium, tmp_path):  # noqa: F811
    folder = hostile_run(tmp_path / "a 'run' $(touch pwned)<script>alert(3)<")
    page = write_report([folder])
    words = harmless(page)
    assert "<script>alert(1)" in words  # shown as what it is
    with opened(chromium, page) as (opened_page, misdeeds):
        assert opened_page.locator("script").count() == 0
        assert opened_page.locator("figure").count() >= 4
        assert misdeeds == []


def test_a_comparison_of_hostile_runs(tmp_path):
    one = folders.write_run(tmp_path / "one")
    page = write_report([one, hostile_run(tmp_path / "<b>two")])
    assert page == tmp_path / "comparison" / "report.html"
    assert "different data sets" in harmless(page)


def test_commands_survive_a_shell(tmp_path):
    folder = tmp_path / "a 'run' $(touch pwned) `x`;&"
    folder.mkdir()
    line = f"printf %s {commands.absolute(folder)}"
    said = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout == str(folder)
    assert not (tmp_path / "pwned").exists()


@given(st.text())
def test_clean_text_can_be_written_and_is_idempotent(text):
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert cleaned == clean(cleaned)
    assert len(cleaned) <= 200


def test_a_search_among_several_is_refused(tmp_path):
    one = folders.write_run(tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "search.json").write_text("{}")
    with pytest.raises(RunError, match="give it alone"):
        write_report([one, tmp_path / "two"])


def test_no_such_folder(tmp_path):
    with pytest.raises(RunError, match="not a folder"):
        write_report([tmp_path / "nowhere"])
