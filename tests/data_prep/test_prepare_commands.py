"""The commands, run as a user runs them."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

from data_prep.criteo import prepare as criteo
from pep_tf.data.clicklogs import load_avazu, load_criteo
from pep_tf.experiments.config import Config
from pep_tf.experiments.memory import in_words, memory_of
from tests.data.clicklogs.rows_for_tests import REAL_AVAZU, REAL_CRITEO, criteo_lines

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


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw.txt").write_text("1\t2\n")
    return [f"--raw={tmp_path / 'raw.txt'}", f"--out={tmp_path / 'out'}"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--min_count=10"], "`min_count` has no effect with encoding=hash: it is for vocabulary"),
        (["--count_on=train"], "`count_on` has no effect with encoding=hash"),
        (
            ["--encoding=vocabulary", "--buckets=C3=9"],
            "`buckets` has no effect with encoding=vocab",
        ),
        (["--encoding=vocabulary", "--min_count=1x"], "`min_count` must be a whole number"),
        (["--buckets=C3"], "`buckets` must be like C3=65536,C4=65536. Received: 'C3'"),
        (["--buckets=C3=5,C4"], "`buckets of C3` must be a whole number"),
        (["--buckets=C3=5,C3=6"], "`buckets` must name each field once. Received twice: C3"),
        (["--buckets=C3=1e12"], "`buckets of C3` must be at most 2,147,483,647. Received: 1e12"),
        (["--buckets=C3=2147483647,C4=2147483647"], "must be at most 2,147,483,647 in all"),
        (
            ["--buckets=C3=262,144,C99=2^10"],
            "`buckets` must name fields of criteo. Received: ['C99']",
        ),
        (["--hour=parts"], "Unknown command line flag 'hour'"),
        (["--seed=-1"], "`seed` must be at least 0"),
        (["--beam_options=--x"], "`beam_options` has no effect without --runner"),
        (["--runner=DirectRunner", "--workers=3"], "`workers` has no effect with --runner"),
        (["--runner=Spark"], "`runner` must be one of DirectRunner, DataflowRunner, Fl"),
        (["--raw=gs://bucket/train.txt"], "--raw=gs://bucket/train.txt is not on this machine"),
    ],
    ids=str,
)
def test_a_bad_flag_is_one_line_and_leaves_nothing(raw, flags, message, capsys, tmp_path):
    assert criteo.main([*raw, *flags]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("buckets", "before"), [("1e9", True), ("1e3", False)])
def test_the_memory_that_training_takes_is_told(tmp_path, capsys, buckets, before):
    (tmp_path / "raw.txt").write_bytes(b"\n".join(criteo_lines(200)) + b"\n")
    flags = [f"--raw={tmp_path / 'raw.txt'}", f"--out={tmp_path / 'out'}", "--workers=1"]
    assert criteo.main([*flags, f"--buckets=C3={buckets}"]) == 0
    out, err = capsys.readouterr()
    schema = load_criteo(tmp_path / "out").schema
    config = Config(embedding_dim=64)
    least = in_words(memory_of(config, schema, config.batch_size).total)
    assert re.search(f"(?m)^training   takes at least .*, {least} with --embedding_dim=64$", out)
    assert (f"{least} with --embedding_dim=64; this machine has less" in err) == before


def test_buckets_as_people_write_them(tmp_path, capsys):
    rows = b"\n".join(criteo_lines(200)) + b"\n"
    (tmp_path / "raw.txt").write_bytes(rows)
    flags = [f"--raw={tmp_path / 'raw.txt'}", f"--out={tmp_path / 'out'}", "--workers=1"]
    assert criteo.main([*flags, "--buckets=C3=262,144,C4=2^10, C5=1e3"]) == 0
    sizes = load_criteo(tmp_path / "out").schema.size_by_name
    assert (sizes["C3"], sizes["C4"], sizes["C5"]) == (262144, 1024, 1000)


def test_without_beam_a_runner_is_one_line(raw, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "apache_beam" else found(name)
    )
    assert criteo.main([*raw, "--runner=DirectRunner"]) == 1
    told = "error: --runner needs apache_beam, which is not installed: pip install 'pep_tf[beam]'\n"
    assert capsys.readouterr().err == told
