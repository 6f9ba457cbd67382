import pytest
import tensorflow as tf

from pep_tf.errors import RunError
from pep_tf.experiments import main as main_module
from pep_tf.experiments import placement
from pep_tf.experiments.config import Config
from tests.experiments.command import SHORT, run


@pytest.mark.parametrize(
    ("config", "per_row"),
    [
        # V, first-order weights and s, each with m and n; the last step.
        (Config(embedding_dim=4), 3 * (4 + 1 + 4) + 1),
        (Config(embedding_dim=4, model="autoint"), 3 * (4 + 4) + 1),
        (Config(embedding_dim=4, granularity="feature"), 3 * (4 + 1 + 1) + 1),
        (Config(embedding_dim=4, granularity="field_dim"), 3 * (4 + 1) + 1),
        (Config(embedding_dim=4, prune_linear=True), 3 * (4 + 1 + 4 + 1) + 1),
        (Config(embedding_dim=4, baseline_dims=(2, 8)), 3 * (8 + 1 + 8) + 1),
    ],
)
def test_table_bytes(config, per_row):
    assert placement.table_bytes(config, 1000) == 4 * 1000 * per_row


@pytest.mark.parametrize(
    ("asked", "memory", "found"),
    [
        ("auto", None, None),
        ("auto", 1 << 30, None),
        ("auto", 1 << 20, "CPU"),
        ("gpu", 1 << 21, None),
        ("cpu", 1 << 30, "CPU"),
        ("cpu", None, "CPU"),
    ],
)
def test_tables_are_on_the_host_if_asked_for_or_too_large(asked, memory, found, monkeypatch):
    monkeypatch.setattr(placement, "gpu_memory", lambda: memory)
    config = Config(table_device=asked, embedding_dim=64)  # 1.6 MB for 1,000 features
    assert placement.table_device(config, 1000) == found
    assert placement.devices(config, 1000).endswith(", tables on the host") == (found == "CPU")


def test_a_gpu_without_room(monkeypatch):
    monkeypatch.setattr(placement, "gpu_memory", lambda: 10**9)
    with pytest.raises(
        RunError, match=r"take 1.6 GB, 0.6 GB more than the 1.0 GB .* --table_device=cpu"
    ):
        placement.table_device(Config(table_device="gpu", embedding_dim=64), 10**6)


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(placement, "gpu_memory", lambda: None)
    with pytest.raises(RunError, match="--table_device=gpu"):
        placement.table_device(Config(table_device="gpu"), 1000)


def test_command_line(tmp_path):
    flags = (*SHORT, "--no_retrain", "--export_format=none", f"--run_dir={tmp_path / 'run'}")
    code, _, err = run(*flags, "--table_device=cpu")
    assert code == 0, err
    assert ", tables on the host;" in err


def test_a_gpu_that_runs_out_of_memory(capsys):
    def run_out(_: list[str]) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM on GPU:0 by GPU_0_bfc\nmore")

    assert main_module._command().run(run_out, []) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: out of memory: OOM on GPU:0 by GPU_0_bfc. --table_device=cpu")
