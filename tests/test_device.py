import os

import pytest
import tensorflow as tf

from pep_tf.device import CPU, GPU, on_gpu, settle_arithmetic, traced_for
from pep_tf.errors import PepError
from pep_tf.experiments import main as main_module
from pep_tf.optimizers import RowwiseAdam
from pep_tf.training import Settings


def test_the_cut_is_that_of_the_machine_unless_told():
    here = bool(tf.config.list_physical_devices("GPU"))
    assert on_gpu() == here
    with traced_for(GPU):
        assert on_gpu()
        with traced_for(CPU):
            assert not on_gpu()
        assert on_gpu()
    with pytest.raises(KeyError), traced_for(GPU):
        raise KeyError
    assert on_gpu() == here


def test_arithmetic(monkeypatch):
    config, asked = tf.config.experimental, []
    monkeypatch.setenv("TF_DISABLE_SCATTER_OP_DETERMINISM", "0")  # wins, being there
    monkeypatch.setattr(config, "enable_op_determinism", lambda: asked.append("determinism"))
    monkeypatch.setattr(config, "enable_tensor_float_32_execution", asked.append)
    settle_arithmetic()
    settle_arithmetic(tf32=True)
    settle_arithmetic(deterministic=False)
    assert asked == ["determinism", False, "determinism", True, False]
    assert os.environ["TF_DISABLE_SCATTER_OP_DETERMINISM"] == "0"
    monkeypatch.delenv("TF_DISABLE_SCATTER_OP_DETERMINISM")
    settle_arithmetic()
    assert os.environ.pop("TF_DISABLE_SCATTER_OP_DETERMINISM") == "1"


def test_small_tables_are_updated_whole_larger_ones_on_a_gpu():
    found = []
    for kind in (CPU, GPU):
        with traced_for(kind):
            assert RowwiseAdam().dense_below == Settings().get_config()["dense_below"]
            found.append(RowwiseAdam().dense_below)
            assert RowwiseAdam(dense_below=3).dense_below == 3
            assert Settings(updates="dense").get_config()["dense_below"] is None
    assert found == [1 << 20, 1 << 25]


@pytest.mark.parametrize(
    ("flag", "settled"),
    [
        ("--precision=float32", (False, True)),
        ("--precision=tf32", (True, True)),
        ("--deterministic=false", (False, False)),
    ],
)
def test_the_command_rounds_products_and_leaves_determinism_only_if_asked(
    flag, settled, monkeypatch, capsys
):
    asked = []

    def settle(*options: bool) -> None:
        asked.append(options)
        raise PepError("far enough")

    monkeypatch.setattr(main_module, "settle_arithmetic", settle)
    flags = ["--dataset=synthetic-avazu", "--rows=300", "--num_features=300"]
    assert main_module.main([*flags, "--dry_run", flag]) == 1
    assert "far enough" in capsys.readouterr().err
    assert asked == [settled]
