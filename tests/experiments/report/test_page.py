"""The page of a real run over two seeds, in a browser."""

import json
import shutil
import statistics

import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.training.state import without_checksum
from tests.browser import DESKTOP, PHONE, chromium, opened  # noqa: F401
from tests.experiments.command import SHORT, called, rows_without_times

FLAGS = ["--seeds=2", "--baseline_dims=2", "--log_format=json"]

# Columns of the table of results and what they show, as far as `results.json` has it.
COLUMNS = {
    "numbers kept": "nnz",
    "of the table": "fraction",
    "validation AUC": "validation_auc",
    "test AUC": "test_auc",
    "test logloss": "test_logloss",
    "bytes, exported": "export_bytes",
    "bytes, computed": "bytes",
    "first-order weights": "first_order",
    "tower": "tower",
    "parameters in all": "parameters",
    "best epoch": "best_epoch",
    "epochs": "epochs",
    "training": "seconds",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run, and what it printed."""
    folder = tmp_path_factory.mktemp("run") / "two seeds"
    code, out, err = called(*SHORT, *FLAGS, f"--run_dir={folder}")
    assert code == 0, err
    return folder, out, err


def test_each_seed_has_a_run_folder(finished):
    folder, _, _ = finished
    rows = json.loads((folder / "results.json").read_text())
    stages = ["baseline", "uniform", "ticket", "ticket"]
    assert [(row["seed"], row["stage"]) for row in rows] == [(s, t) for s in (0, 1) for t in stages]
    assert len({row["split_md5"]["test"] for row in rows}) == 2
    for seed in "01":
        part = folder / "seeds" / seed
        assert json.loads((part / "results.json").read_text()) == [
            row for row in rows if str(row["seed"]) == seed
        ]
        assert (part / "report.html").exists()
        for name in ("baseline", "uniform_2", "ticket_1000"):
            size = sum(f.stat().st_size for f in (part / "export" / name).rglob("*") if f.is_file())
            assert size in {row["export_bytes"] for row in rows}
    history = json.loads((folder / "seeds/0/history.json").read_text())
    assert set(history) == {
        "crc32",
        "baseline",
        "uniform_2",
        "prune",
        "ticket_1000",
        "ticket_16340",
    }
    assert [check["step"] for check in history["baseline"] if "validation_auc" in check] == [
        63,
        126,
    ]
    assert all({"nnz", "threshold_low", "threshold_high"} <= set(c) for c in history["prune"])


def test_each_seed_has_a_board_of_its_own(finished):
    folder, _, _ = finished
    assert not (folder / "tensorboard").exists()
    for seed in "01":
        board = folder / "seeds" / seed / "tensorboard"
        history = json.loads((board.parent / "history.json").read_text())
        assert {path.name for path in board.iterdir()} == set(history) - {"crc32"}
        (events,) = (board / "prune").iterdir()
        found = [
            (event.step, tf.make_ndarray(value.tensor).item())
            for event in tf.compat.v1.train.summary_iterator(str(events))
            for value in event.summary.value
            if value.tag == "nnz"
        ]
        assert found == [(check["step"], check["nnz"]) for check in history["prune"]]


def test_progress_and_results_as_json(finished):
    folder, out, err = finished
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert {line["event"] for line in lines} - {"note"} == {"start", "update", "finish"}
    update = [line for line in lines if line["event"] == "update" and "prune" in line["stage"]][-1]
    assert {"step", "total_steps", "eta_seconds", "examples_per_second", "loss", "nnz"} <= set(
        update
    )
    results = [json.loads(line) for line in out.splitlines()]
    assert {result.pop("event") for result in results} == {"result"}
    kept = json.loads((folder / "results.json").read_text())
    assert results == [without_checksum(row) for row in kept]


def test_shows_every_figure(chromium, finished):  # noqa: F811
    folder, _, _ = finished
    with opened(chromium, folder / "report.html") as (page, misdeeds):
        drawn = page.eval_on_selector_all(
            "figure",
            """found => found.map(f => ({
                name: f.id.replace('figure-', ''),
                width: f.querySelector('svg').getBoundingClientRect().width,
                height: f.querySelector('svg').getBoundingClientRect().height,
                marks: f.querySelectorAll('svg path, svg use, svg image').length,
                words: f.querySelectorAll('svg text').length,
                alt: f.querySelector('[role=img]').getAttribute('aria-label'),
            }))""",
        )
        assert misdeeds == []
    names = {figure["name"] for figure in drawn}
    assert names == {
        "frontier",
        "frontier_bytes",
        "sizes_by_field",
        "sizes_by_frequency",
        "mask_by_field",
        "mask_by_frequency",
        "nonzeros",
        "thresholds",
        "loss",
        "validation_auc",
    }
    assert names == {path.stem for path in (folder / "figures").glob("*.png")}
    for figure in drawn:
        assert figure["width"] > 300, figure
        assert figure["height"] > 150, figure
        assert figure["marks"] > 10, figure
        assert figure["words"] > 4, figure
        assert len(figure["alt"]) > 40, figure
        image = matplotlib.image.imread(folder / "figures" / f"{figure['name']}.png")
        assert image.std() > 0.05, figure
        # Nothing is left in the colours that stand for those of the page: #0b0b00 to #0b0b1f.
        red, green, blue = (np.round(255 * image[..., i]) for i in range(3))
        assert not ((red == 11) & (green == 11) & (blue < 32)).any(), figure


def test_the_numbers_are_those_of_the_results(chromium, finished):  # noqa: F811
    folder, _, _ = finished
    rows = json.loads((folder / "results.json").read_text())
    with opened(chromium, folder / "report.html") as (page, _):
        page.click("#results summary")
        means, each = page.eval_on_selector_all("#results table", READ_TABLE)
    seed0, seed1 = rows[:4], rows[4:]
    assert len(means["rows"]) == 4
    for pair, shown in zip(zip(seed0, seed1, strict=True), means["rows"], strict=True):
        for column, name in COLUMNS.items():
            value, _ = shown[means["columns"].index(column)]
            assert float(value) == statistics.fmean(row[name] for row in pair), (column, shown)
    mean = statistics.fmean(row["test_auc"] for row in (rows[0], rows[4]))
    deviation = statistics.stdev(row["test_auc"] for row in (rows[0], rows[4]))
    _, words = means["rows"][0][means["columns"].index("test AUC")]
    assert words == f"{mean:.4f} ± {deviation:.4f}"
    told = {
        (int(line[1][0]), float(line[each["columns"].index("test AUC")][0]))
        for line in each["rows"]
    }
    assert told == {(row["seed"], row["test_auc"]) for row in rows}


READ_TABLE = """tables => tables.map(table => ({
    columns: [...table.tHead.rows[0].cells].map(cell => cell.innerText.trim()),
    rows: [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => {
        const data = cell.querySelector('data');
        return [data ? data.value : '', cell.innerText.trim()];
    })),
}))"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_any_screen(chromium, finished, size, scheme):  # noqa: F811
    folder, _, _ = finished
    with opened(chromium, folder / "report.html", size, scheme) as (page, misdeeds):
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        ink = page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
        dark = [sum(map(int, c[4:-1].split(", "))) < 382 for c in (back, ink)]
        assert dark == [scheme == "dark", scheme == "light"]
        assert misdeeds == []


def test_works_by_keyboard(chromium, finished):  # noqa: F811
    folder, _, _ = finished
    with opened(chromium, folder / "report.html") as (page, _):
        reached = set()
        for _step in range(40):
            page.keyboard.press("Tab")
            reached.add(
                page.evaluate(
                    "document.activeElement.className || document.activeElement.localName"
                )
            )
        assert {"skip", "a", "scroll", "summary", "pre"} <= reached
        page.focus("#results summary")
        page.keyboard.press("Enter")
        assert page.locator("#results details").get_attribute("open") is not None


def test_a_lost_stage_of_one_seed_is_made_up_for(finished, tmp_path):
    whole, _, _ = finished
    folder = shutil.copytree(whole, tmp_path / "copy")
    (folder / "results.json").unlink()
    (folder / "seeds/1/results.json").unlink()
    (folder / "seeds/1/stages/ticket_1000.json").unlink()
    code, out, err = called(*SHORT, *FLAGS, "--resume", f"--run_dir={folder}")
    assert code == 0, err
    assert rows_without_times(folder) == rows_without_times(whole)
    started = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert {line["stage"] for line in started} == {"seed 1, ticket 1000"}


def test_is_one_small_file(finished):
    folder, _, _ = finished
    page = folder / "report.html"
    assert page.stat().st_size < 500_000
    text = page.read_text("utf-8")
    assert "<script" not in text
    # The only addresses are names of XML vocabularies and the server's on this machine.
    for start in ("http://", "https://"):
        for found in text.split(start)[1:]:
            assert found.startswith(("www.w3.org/", "localhost:8501/")), found[:60]
