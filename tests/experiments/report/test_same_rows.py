"""What results over several seeds are a spread over, and whether results can be compared."""

import dataclasses

import pytest

from pep_tf.experiments.report.headline import headline
from pep_tf.experiments.report.page import comparison_page, run_page
from pep_tf.experiments.report.reading import read_run
from pep_tf.experiments.results import Results, Row
from pep_tf.experiments.summary import choose, distinct_rows, lines_of, spread_over
from pep_tf.experiments.table_text import table_text
from tests.experiments.report.folders import row, rows, write_run

ONE_SPLIT = (
    "All 2 seeds share one split: the spread is over initial weights, order and dropout alone."
)
OWN_SPLIT = "Each seed has a split, initial weights and an order of its own."


def digests(content="a", split="b"):
    return {"content": content * 32, "mapping": "m" * 32, "split": split * 32, "options": "o" * 32}


def digested(one, **values):
    """A row with digests of its data as they are, or as earlier versions wrote them: read from a file."""
    return Row.read({**dataclasses.asdict(one), **values})


def of_seeds(**by_seed):
    """Rows of two seeds; `split_md5` or digests of the data from a function of the seed."""
    return [
        digested(one, **{name: make(seed) for name, make in by_seed.items()})
        for seed in (0, 1)
        for one in rows(seed=seed, shift=0.002 * seed)
    ]


SHARED = of_seeds(data_md5=lambda seed: digests())
OWN = of_seeds(
    data_md5=lambda seed: digests(split="xy"[seed]),
    split_md5=lambda seed: {"train": "t", "validation": "v", "test": str(seed)},
)


@pytest.mark.parametrize(
    ("found", "told"),
    [(SHARED, ONE_SPLIT), (OWN, OWN_SPLIT), (of_seeds(), ONE_SPLIT), (rows(), "")],
)
def test_what_a_spread_is_over(found, told):
    assert spread_over(found) == told
    text = table_text(Results(found))
    assert text.endswith(told)
    for other in {ONE_SPLIT, OWN_SPLIT} - {told}:
        assert other not in text


@pytest.mark.parametrize(("found", "told"), [(SHARED, ONE_SPLIT), (OWN, OWN_SPLIT)])
def test_the_page_says_it_too(tmp_path, found, told):
    record = read_run(write_run(tmp_path / "run", found))
    (believe,) = headline(record, lines_of(found), choose(lines_of(found)))[2:]
    assert told in believe.points
    assert any("on the same rows, seed by seed" in point for point in believe.points)
    page = run_page(record, tmp_path / "figures")
    (results,) = [s for s in page["sections"] if s["anchor"] == "results"]
    assert told in results["tables"][0].caption


def test_rows_are_told_apart_by_content_where_it_is_known():
    """A store and the raw file that it was made from hold the same rows in another order."""
    raw = digested(
        row(), data_md5=digests(), split_md5={"train": "1", "validation": "2", "test": "3"}
    )
    store = digested(
        row(), data_md5=digests(), split_md5={"train": "4", "validation": "5", "test": "6"}
    )
    mended = digested(row(), data_md5=digests(content="c"), split_md5=raw.split_md5)
    assert distinct_rows([raw, store]) == 1
    assert distinct_rows([raw, mended]) == 2
    assert distinct_rows([raw, dataclasses.replace(store, data_md5=None)]) == 2  # not known


def test_the_same_rows_are_not_claimed_of_others(tmp_path):
    found = [digested(r, data_md5=digests()) for r in rows()]
    found[0] = digested(found[0], content_md5="c" * 32)
    record = read_run(write_run(tmp_path / "run", found))
    points = headline(record, lines_of(found), choose(lines_of(found)))[2].points
    assert any("NOT trained on the same rows" in point for point in points)


def test_runs_on_other_content_are_not_compared(tmp_path):
    """The row numbers of their splits are the same."""
    one = [digested(r, data_md5=digests()) for r in rows()]
    other = [digested(r, data_md5=digests(content="c")) for r in rows()]
    records = [
        read_run(write_run(tmp_path / name, found)) for name, found in (("a", one), ("b", other))
    ]
    notes = comparison_page(records, tmp_path / "figures")["notes"]
    assert any("different rows, by content or by split: their AUCs must not" in n for n in notes)
    same = [records[0], dataclasses.replace(records[0], path=tmp_path / "b")]
    assert not any(
        "AUCs must not" in n for n in comparison_page(same, tmp_path / "figures")["notes"]
    )
