"""The commands, run as a user runs them."""

import pathlib
import subprocess
import sys

import pytest

from pep_tf.data.clicklogs import load_avazu, load_criteo
from tests.data.clicklogs.rows_for_tests import REAL_AVAZU, REAL_CRITEO

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(module: str, *flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", f"data_prep.{module}.prepare", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "raw", "flags", "rows"),
    [
        ("criteo", REAL_CRITEO, ["--buckets=C3=999", "--seed=3"], 18_787),
        ("avazu", REAL_AVAZU, ["--encoding=vocabulary", "--hour=parts"], 24_073),
    ],
)
def test_real_samples(module: str, raw: pathlib.Path, flags: list[str], rows: int, tmp_path):
    if not raw.exists():
        pytest.skip(f"the real sample {raw.name} is not beside the repository")
    done = run(module, f"--raw={raw}", f"--out={tmp_path}", *flags)
    assert done.returncode == 0, done.stderr
    assert f"= {rows} rows + 0 bad" in done.stdout
    data = (load_criteo if module == "criteo" else load_avazu)(tmp_path)
    assert sum(s.num_rows for s in (data.train, data.validation, data.test)) == rows
    for field in data.schema.fields:
        assert any(
            line.split()[:2] == [field.name, str(field.size)] for line in done.stdout.splitlines()
        )
    assert data.train.md5 in done.stdout


def test_mistakes_end_in_one_line(tmp_path):
    (tmp_path / "bad.txt").write_text("1\t2\n")
    done = run("criteo", f"--raw={tmp_path / 'bad.txt'}", f"--out={tmp_path / 'out'}")
    assert done.returncode == 1
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "bad.txt, line 1: 2 columns, criteo has 40" in error
    assert "Traceback" not in done.stderr
