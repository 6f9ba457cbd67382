"""The README's Python example runs as it stands, and stays short."""

import pathlib
import re
import subprocess
import sys

import matplotlib.image

ROOT = pathlib.Path(__file__).resolve().parents[1]


def test_the_picture_at_the_top_is_drawn_by_the_command_beside_it(tmp_path):
    readme = (ROOT / "README.md").read_text("utf-8")
    picture = ROOT / re.search(r"!\[.*?\]\((.*?)\)", readme)[1]
    module, folder = re.search(r"`python -m (pep_tf\.experiments\.report) (\S+)`", readme).groups()
    command = [sys.executable, "-m", module, folder, f"--output={tmp_path}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    drawn = matplotlib.image.imread(tmp_path / "figures" / picture.name)
    assert drawn.shape == matplotlib.image.imread(picture).shape
    assert abs(drawn - matplotlib.image.imread(picture)).mean() < 0.01
    assert (ROOT / folder / "report.html").exists()


def test_the_example_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert code.count("\n") < 20
    script = tmp_path / "example.py"
    script.write_text(code)
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test AUC") == 2
    assert (tmp_path / "runs/example/export/small/1/saved_model.pb").exists()
