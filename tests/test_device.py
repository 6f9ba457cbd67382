import os

import pytest
import tensorflow as tf

from pep_tf.device import CPU, GPU, on_gpu, settle_arithmetic, traced_for
from pep_tf.errors import PepError
from pep_tf.experiments import main as main_module


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
    assert asked == ["determinism", False, "determinism", True]
    assert os.environ["TF_DISABLE_SCATTER_OP_DETERMINISM"] == "0"
    monkeypatch.delenv("TF_DISABLE_SCATTER_OP_DETERMINISM")
    settle_arithmetic()
    assert os.environ.pop("TF_DISABLE_SCATTER_OP_DETERMINISM") == "1"


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_the_command_rounds_products_only_if_asked(precision, monkeypatch, capsys):
    asked = []

    def settle(tf32: bool) -> None:
        asked.append(tf32)
        raise PepError("far enough")

    monkeypatch.setattr(main_module, "settle_arithmetic", settle)
    flags = ["--dataset=synthetic-avazu", "--rows=300", "--num_features=300"]
    assert main_module.main([*flags, "--dry_run", f"--precision={precision}"]) == 1
    assert "far enough" in capsys.readouterr().err
    assert asked == [precision == "tf32"]
