"""Rows over seeds, and which ticket the page puts first."""

import pytest

from pep_tf.experiments.report.headline import headline
from pep_tf.experiments.report.reading import read_run
from pep_tf.experiments.results import Results
from pep_tf.experiments.summary import choose, lines_of
from pep_tf.experiments.table_text import table_text
from tests.experiments.report.folders import ENTRIES, row, rows, ticket_row, write_run

SPACE = "\N{NO-BREAK SPACE}"


def test_rows_of_one_table_are_one_line():
    lines = lines_of(rows(seed=0) + rows(seed=1, shift=0.002))
    assert [line.label for line in lines] == [
        f"uniform, d{SPACE}={SPACE}8",
        f"uniform, d{SPACE}={SPACE}4",
        f"ticket 50{SPACE}%",
        f"ticket 19.7{SPACE}%",
        f"ticket 5.26{SPACE}%",
    ]
    assert lines[0].values("test_auc") == [0.79, 0.792]
    assert lines[0].mean("test_auc") == pytest.approx(0.791)
    assert lines[0].spread("test_auc") == pytest.approx(0.002**0.5 * 0.001**0.5)
    assert lines_of(rows())[0].spread("test_auc") is None


def test_the_smallest_ticket_within_a_thousandth_on_validation():
    # Validation AUC of the baseline: 0.8; of a ticket: 0.01 above its test AUC.
    found = [row(), ticket_row(76, 0.80), ticket_row(30, 0.7891), ticket_row(8, 0.7889)]
    choice = choose(lines_of(found))
    assert choice.within
    assert choice.ticket.rows[0].budget == 30


def test_the_test_split_has_no_say():
    found = [row(), ticket_row(76, 0.80), ticket_row(8, 0.9, validation_auc=0.7)]
    assert choose(lines_of(found)).ticket.rows[0].budget == 76


def test_else_the_best_ticket():
    found = [row(), ticket_row(76, 0.76), ticket_row(30, 0.77), ticket_row(8, 0.75)]
    choice = choose(lines_of(found))
    assert not choice.within
    assert choice.ticket.rows[0].budget == 30


def test_no_ticket_at_all():
    assert choose(lines_of([row()])).ticket is None


def test_the_answer(tmp_path):
    record = read_run(write_run(tmp_path))
    lines = lines_of(record.rows)
    small, cost, trust = headline(record, lines, choose(lines))
    assert small.figure == f"19.7{SPACE}%"
    assert f"30 of {ENTRIES} numbers kept." in small.points
    assert "5.12 kB instead of 9 kB, 1.8 times smaller (exported" in small.points[2]
    assert cost.figure == "−0.0005"
    assert "pruning 33 s" in cost.points[2]
    assert trust.figure == "1"
    assert f"A uniform table with 76 numbers (d{SPACE}={SPACE}4) reaches 0.7820." in trust.points


def test_the_answer_over_seeds(tmp_path):
    record = read_run(write_run(tmp_path, rows() + rows(seed=1, shift=0.002)))
    lines = lines_of(record.rows)
    *_, trust = headline(record, lines, choose(lines))
    assert (trust.figure, trust.unit) == ("± 0.0014", "over 2 seeds")
    assert "−0.0005 to −0.0005" in trust.points[0]


def test_the_terminals_table():
    lines = table_text(Results(rows() + rows(seed=1, shift=0.002))).splitlines()
    *lines, over = lines
    assert len(lines) == 6
    assert "seed" in over
    for column in ("kept", "exported", "val AUC", "test AUC", "logloss", "epochs", "time"):
        assert column in lines[0]
    assert lines[1].startswith("uniform, d = 8")
    assert "0.7910 ± 0.0014" in lines[1]
    assert "100.00%" in lines[1]
    assert len({len(line) for line in lines}) == 1
