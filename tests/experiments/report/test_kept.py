"""A page is never replaced by one that shows less, unless that is asked for."""

import dataclasses
import json
import pathlib
import shutil

import pytest

from pep_tf.errors import RunError
from pep_tf.experiments.report import __main__ as command
from pep_tf.experiments.report import write_report
from tests.experiments.report import folders, test_search

RESULTS = pathlib.Path(__file__).resolve().parents[3] / "experiments" / "results"


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(folder, *more, message=""):
    """Checks that the page stays as it is, with its figures, and that the error is one line."""
    before = contents(folder)
    with pytest.raises(RunError, match=message) as caught:
        write_report([folder, *more])
    assert "\n" not in str(caught.value)
    assert contents(folder) == before


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run over two seeds with all its parts, and its page."""
    folder = tmp_path_factory.mktemp("run") / "seeds"
    for seed in (0, 1):
        part = folders.write_run(folder / "seeds" / str(seed), folders.rows(seed))
        model = part / "export" / "ticket_8" / "1" / "saved_model.pb"
        model.parent.mkdir(parents=True)
        model.touch()
    folders.write_run(folder, [*folders.rows(0), *folders.rows(1)])
    write_report([folder])
    return folder


@pytest.fixture
def seeds(drawn, tmp_path):
    """A copy of it."""
    return shutil.copytree(drawn, tmp_path / "copy")


@pytest.mark.parametrize(
    "lost",
    [
        "config.json",
        "environment.json",
        "seeds/1/history.json",
        "seeds/0/feature_counts.safetensors",
        "seeds/0/tickets/ticket_30.safetensors",
        "seeds/1/tickets/done.json",
    ],
)
def test_a_file_that_is_gone(seeds, lost):
    path = seeds / lost
    saved = path.read_bytes()
    path.unlink()
    refused(
        seeds, message=rf"report\.html shows more .* lacks {lost}\. Name .*--output.*--overwrite"
    )
    path.write_bytes(saved[: len(saved) // 2])  # nor from half of it
    refused(seeds, message=lost)


def test_exports_that_are_gone(seeds):
    for part in "01":
        shutil.rmtree(seeds / "seeds" / part / "export")
    refused(seeds, message="lacks export. ")


def test_rows_that_are_gone(seeds):
    folders.write_rows(seeds, [*folders.rows(0), *folders.rows(1)[:-1]])
    refused(seeds, message=r"lacks results of ticket 8 \(original, seed 1\)\. ")


def test_many_are_counted(seeds):
    shutil.rmtree(seeds / "seeds")
    refused(seeds, message=r"seeds/0/history.json, .* and \d+ more\.")


@pytest.fixture
def bare(tmp_path):
    """Results and a configuration, and the page of them."""
    folders.write_rows(tmp_path, folders.rows())
    (tmp_path / "config.json").write_text('{"seed": 0}')
    write_report([tmp_path])
    return tmp_path


def test_more_than_before_is_no_loss(bare):
    saved = (bare / "config.json").read_bytes()
    (bare / "config.json").unlink()
    write_report([bare], overwrite=True)
    (bare / "config.json").write_bytes(saved)
    write_report([bare])
    (bare / "config.json").unlink()
    refused(bare, message="config.json")


def test_a_run_that_goes_on_draws_over_the_page_of_its_half(tmp_path):
    stages = tmp_path / "stages"
    stages.mkdir()
    for row in folders.rows()[:3]:
        (stages / f"{row.stage}_{row.budget}.json").write_text(json.dumps(dataclasses.asdict(row)))
    assert "has not finished" in write_report([tmp_path]).read_text()
    folders.write_rows(tmp_path, folders.rows())
    assert "has not finished" not in write_report([tmp_path]).read_text()


def test_the_command(bare, tmp_path_factory, capsys):
    (bare / "config.json").unlink()
    before = contents(bare)
    assert command.main([str(bare)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert command.main([str(bare), f"--output={elsewhere}"]) == 0
    assert contents(bare) == before
    assert (elsewhere / "figures" / "frontier.png").exists()
    assert command.main([str(bare), "--overwrite"]) == 0
    assert contents(bare)["report.html"] != before["report.html"]


def test_a_search(tmp_path):
    found = test_search.search(6)
    found["pareto"][0]["test_auc"] = 0.7
    test_search.write(tmp_path, found)
    (tmp_path / "best.py").touch()
    write_report([tmp_path])
    del found["pareto"][0]["test_auc"]
    test_search.write(tmp_path, found)
    refused(tmp_path, message="lacks test AUC of trial")
    found["pareto"][0]["test_auc"] = 0.7
    found["trials"].pop()
    test_search.write(tmp_path, found)
    refused(tmp_path, message="lacks trial 05. ")
    found = test_search.search(7)
    test_search.write(tmp_path, found)
    write_report([tmp_path])


def test_comparisons(tmp_path):
    one, two, three = (folders.write_run(tmp_path / name) for name in ("one", "two", "three"))
    page = write_report([one, two])
    write_report([one, three])  # the other comparison can be drawn again
    write_report([one, two])
    two.rename(tmp_path / "moved")
    before = contents(page.parent)
    with pytest.raises(RunError, match=r"lacks the run \.\./two\. "):
        write_report([one, three])
    assert contents(page.parent) == before


def test_the_page_of_another_run(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    folders.write_rows(one, folders.rows())
    folders.write_rows(two, folders.rows())
    write_report([one], tmp_path / "pages")
    write_report([two], tmp_path / "pages")
    assert "run two" in (tmp_path / "pages" / "report.html").read_text()


def test_a_file_that_is_no_page(tmp_path):
    folders.write_rows(tmp_path, folders.rows())
    (tmp_path / "report.html").write_text("<h1>Mine</h1>")
    refused(tmp_path, message="is no page of this package")


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("movielens_1m", "lacks the section 'sizes', the section 'training', the table 'Config"),
        ("tuning_movielens_small", "lacks the table 'Configuration'"),
    ],
)
def test_a_page_of_before_pages_told_their_inputs(name, lost, tmp_path):
    """Those kept in the repository: the folders hold the results without the rest."""
    folder = tmp_path / name
    shutil.copytree(RESULTS / name, folder)
    refused(folder, message=lost)


def test_a_kept_comparison(tmp_path):
    folder = shutil.copytree(RESULTS / "models_movielens_small", tmp_path / "models")
    runs = sorted(path.parent for path in folder.glob("*/results.json"))
    before = contents(folder)
    with pytest.raises(RunError, match="the table 'Configuration'"):
        write_report(runs, folder)
    assert contents(folder) == before


def test_a_list_of_inputs_that_cannot_be_read_counts_as_none(bare):
    page = bare / "report.html"
    text = page.read_text()
    (line,) = [line for line in text.splitlines() if "pep_tf:drawn-from" in line]
    page.write_text(text.replace(line, '<meta name="pep_tf:drawn-from" content="[3">'))
    (bare / "config.json").unlink()
    refused(bare, message="lacks the table 'Configuration'. ")
