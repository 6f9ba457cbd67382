"""What a reader needs to see: on a small screen, at an axis, at the top, in the command to repeat."""

import json
import re

import numpy as np
import pytest

from pep_tf.experiments.report import commands, write_report
from pep_tf.experiments.report.reading import Record
from tests.browser import DESKTOP, PHONE, chromium, opened  # noqa: F401
from tests.experiments.report import folders, test_search
from tests.experiments.report.test_bad_input import harmless

FALLBACK = "*** NOT MovieLens-1M *** Using movielens-small, because there is no copy."


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Of a run over two seeds, whose results have a spread and whose tables have four dimensions."""
    folder = tmp_path_factory.mktemp("run") / "run"
    folders.write_run(folder, [*folders.rows(0), *folders.rows(1, 0.001)])
    for path in (folder / "tickets").glob("ticket_*"):
        path.unlink()
    mask = np.random.default_rng(0).random((19, 4)) < 0.4
    folders.write_ticket(folder, mask, folders.FIELDS)
    config = {"dataset": "movielens-small", "data": {"fallback": FALLBACK}}
    (folder / "config.json").write_text(json.dumps(config))
    return write_report([folder])


@pytest.fixture(scope="module")
def search_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    found = test_search.search(10)
    for index, trial in enumerate(found["trials"]):
        trial["values"] |= {"embedding_dim": 2 << index % 3, "layers": 1 + index % 2}
    found["space"] |= {"embedding_dim": {"kind": "Choice", "values": [2, 4, 8]}}
    config = {"dataset": "movielens-small", "data": {"fallback": FALLBACK}}
    (folder / "config.json").write_text(json.dumps(config))
    command = "python -m pep_tf.tuning.search --max_trials=24"
    (folder / "environment.json").write_text(json.dumps({"command": command}))
    return write_report([test_search.write(folder, found)])


def numbers_at(page, figure):
    """The texts of a figure that are numbers."""
    text = page.read_text("utf-8")
    drawing = text.split(f'<figure id="figure-{figure}">')[1].split("</figure>")[0]
    words = re.findall(r"<text [^>]*>([^<]*)</text>", drawing)
    return [word for word in words if re.fullmatch(r"[−-]?[\d.]+", word)]


SEEN = """table => {
    const inside = cell => {
        const own = cell.getBoundingClientRect(), box = cell.closest('.scroll').getBoundingClientRect();
        return own.left >= box.left && own.right <= box.right && box.right <= innerWidth;
    };
    const heads = [...table.tHead.rows[0].cells];
    return heads.filter((head, i) =>
        inside(head) && [...table.tBodies[0].rows].every(row => inside(row.cells[i]))
    ).map(head => head.innerText.replace(/\\s+/g, ' ').trim());
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_test_auc_and_that_there_is_more(chromium, page, scheme):  # noqa: F811
    with opened(chromium, page, PHONE, scheme) as (shown, misdeeds):
        table = shown.locator("#results table").first
        assert table.evaluate(SEEN)[:3] == ["table", "test AUC", "numbers kept"]
        hint = shown.locator("#results .hint").first
        assert "Scroll sideways" in hint.inner_text()
        assert hint.bounding_box()["height"] > 10
        assert hint.bounding_box()["y"] < table.bounding_box()["y"]
        scroll = shown.locator("#results .scroll").first
        scroll.evaluate("box => box.scrollLeft = box.scrollWidth")
        assert "training" in table.evaluate(SEEN)
        assert float(hint.evaluate("hint => getComputedStyle(hint).opacity")) < 0.2  # the end
        assert misdeeds == []


def test_the_hint_is_there_only_where_columns_are_hidden(chromium, page):  # noqa: F811
    with opened(chromium, page, DESKTOP) as (shown, _):
        shown.eval_on_selector_all("details", "found => found.forEach(one => one.open = true)")
        shown.screenshot()  # so that all of it is laid out
        told = shown.eval_on_selector_all(
            ".sideways",
            """found => found.map(one => {
                const box = one.querySelector('.scroll');
                return [box.scrollWidth > box.clientWidth,
                        one.querySelector('.hint').getBoundingClientRect().height > 10];
            })""",
        )
    assert all(hidden == hint for hidden, hint in told), told
    assert {hidden for hidden, _ in told} == {True, False}


def test_a_phone_shows_the_test_auc_of_a_search(chromium, search_page):  # noqa: F811
    with opened(chromium, search_page, PHONE) as (shown, _):
        assert "test AUC" in shown.locator("#front table").evaluate(SEEN)


@pytest.mark.parametrize("kind", ["field", "frequency"])
def test_dimensions_are_whole_numbers(page, kind):
    numbers = numbers_at(page, f"mask_by_{kind}")
    assert numbers[:4] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("figure", ["nonzeros", "loss"])
def test_steps_are_whole_numbers(tmp_path, figure):
    folder = folders.write_run(tmp_path)
    checks = [{"step": step, "nnz": 90 - step, "loss": 0.5 / step} for step in (1, 2, 3)]
    (folder / "history.json").write_text(json.dumps({"prune": checks, "baseline": checks}))
    numbers = numbers_at(write_report([folder]), figure)
    assert numbers[:3] == ["1", "2", "3"]


def test_choices_stand_at_their_axis(search_page):
    text = " ".join(numbers_at(search_page, "by_parameter"))
    assert " 2 4 8 " in f" {text} "
    assert " 1 2 " in f" {text} "  # layers: whole numbers, though no choice is told
    assert not {"2.5", "7.5", "1.5"} & set(text.split())


def test_another_data_set_is_told_before_anything_else(page, search_page, tmp_path):
    other = folders.write_run(tmp_path / "other")
    comparison = write_report([page.parent, other], tmp_path / "both")
    for shown, before in (
        (page, 'class="cards"'),
        (search_page, 'class="cards"'),
        (comparison, "<section"),
    ):
        main = shown.read_text("utf-8").split('<main id="content">')[1]
        top = main.split(before)[0]
        assert "NOT MovieLens-1M</h2>" in top
        assert "Using movielens-small, because there is no copy." in top
        assert "***" not in harmless(shown).split("Configuration")[0]
    assert "run: NOT MovieLens-1M" in comparison.read_text("utf-8")


@pytest.mark.parametrize("fallback", [None, 5, {}, "Other rows."])
def test_a_fallback_of_another_form(fallback, tmp_path):
    folders.write_rows(tmp_path, folders.rows())
    (tmp_path / "config.json").write_text(json.dumps({"data": {"fallback": fallback}}))
    words = harmless(write_report([tmp_path]))
    assert ("Another data set was used" in words) == (fallback == "Other rows.")


@pytest.mark.parametrize(
    ("typed", "repeated"),
    [
        ("", " --dataset=movielens-small"),
        (" --l2=1e-05", " --l2=1e-05 --dataset=movielens-small"),
        (" --dataset=movielens --seed=3", " --seed=3 --dataset=movielens-small"),
        (" --dataset movielens --seed=3", " --seed=3 --dataset=movielens-small"),
        (" -dataset=movielens --seed=3", " --seed=3 --dataset=movielens-small"),
        (" --dataset=movielens-small --seed=3",) * 2,
        (" --seed=3 --dataset movielens-small",) * 2,
        (
            " '--config=a study.py' --budgets=5%",
            " '--config=a study.py' --budgets=5% --dataset=movielens-small",
        ),
    ],
)
def test_the_command_names_the_data_set_really_used(typed, repeated, tmp_path):
    start = "python -m pep_tf.experiments.main"
    record = Record(tmp_path, [], config={"dataset": "movielens-small"})
    record.environment = {"command": start + typed}
    assert [c.line for c in commands.reproduce(record)] == [start + repeated]


def test_the_command_of_a_search_as_well(search_page):
    assert "--max_trials=24 --dataset=movielens-small" in harmless(search_page)
