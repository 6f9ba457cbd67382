"""What a run says while it works."""

import io
import json

from pep_tf.experiments import json_log, terminal
from pep_tf.experiments.json_log import JsonReporter
from pep_tf.experiments.terminal import TerminalReporter


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def stage(reporter):
    reporter.start("prune", 200)
    reporter.update(50, loss=0.61234, nnz=26425, threshold=-4.5, next_budget=13212)
    reporter.update(100, validation_auc=0.85123)
    reporter.note("Something to read.")
    reporter.finish()


def test_a_live_line_on_a_terminal():
    screen = Screen()
    stage(TerminalReporter(1024, "seed 1, ", screen))
    text = screen.getvalue()
    for part in (
        "seed 1, prune  25%",
        "50/200",
        "ETA",
        "examples/s",
        "loss 0.6123",
        "nnz 26,425 → 13,212",
        "s -4.50",
        "val AUC 0.8512",
        "Something to read.\n",
    ):
        assert part in text, part
    assert "seed 1, prune: done in" in text.splitlines()[-1]


def test_plain_lines_elsewhere(monkeypatch):
    monkeypatch.setattr(terminal, "_PLAIN_SECONDS", 0.0)
    stream = io.StringIO()
    stage(TerminalReporter(1024, stream=stream))
    start, first, second, note, end = stream.getvalue().splitlines()
    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert start == "prune: starts"
    assert first.startswith("prune: step 50 of at most 200, ETA")
    assert first.endswith("loss 0.6123, nnz 26,425 → 13,212, s -4.50")
    assert second.endswith("val AUC 0.8512")
    assert note == "Something to read."
    assert end.startswith("prune: done in ")


def test_one_json_object_a_line(monkeypatch):
    monkeypatch.setattr(json_log, "_SECONDS", 0.0)
    stream = io.StringIO()
    stage(JsonReporter(1024, "seed 1, ", stream))
    start, first, second, note, end = map(json.loads, stream.getvalue().splitlines())
    assert start["event"] == "start"
    assert start["stage"] == "seed 1, prune"
    assert first["step"] == 50
    assert first["total_steps"] == 200
    assert first["nnz"] == 26425
    assert first["next_budget"] == 13212
    assert second["validation_auc"] == 0.85123
    assert second["loss"] == 0.61234  # the latest value stays
    assert note["message"] == "Something to read."
    assert end["event"] == "finish"


def test_json_keeps_to_one_update_a_second_and_the_last():
    stream = io.StringIO()
    reporter = JsonReporter(1024, stream=stream)
    reporter.start("baseline", 100)
    for step in range(1, 101):
        reporter.update(step, loss=1 / step)
    reporter.finish()
    updates = [json.loads(line) for line in stream.getvalue().splitlines() if "update" in line]
    assert [update["step"] for update in updates] == [100]
