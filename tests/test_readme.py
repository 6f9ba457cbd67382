"""The README's Python examples run as they stand, and stay short."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def python_examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)


def run_example(holding: str, folder: pathlib.Path) -> str:
    """What the only example that holds a text prints, run in a folder."""
    (code,) = [code for code in python_examples() if holding in code]
    assert code.count("\n") < 20
    script = folder / "example.py"
    script.write_text(code)
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_main_example_runs(tmp_path):
    assert run_example("pep_tf.prune(", tmp_path).count("test AUC") == 2
    assert (tmp_path / "runs/example/export/small/1/saved_model.pb").exists()


def test_the_search_example_runs(tmp_path):
    assert "threshold_learning_rate" in run_example("tuning.tune(", tmp_path)
    assert (tmp_path / "runs/search/best.py").exists()


def test_the_section_on_the_search_is_short():
    text = (ROOT / "README.md").read_text("utf-8")
    section = text.split("## Finding the thresholds\n")[1].split("\n## ")[0]
    assert len([line for line in section.splitlines() if line]) < 15
