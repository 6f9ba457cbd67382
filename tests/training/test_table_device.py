"""Tables on another device than the model, in a process that sees its CPU as two."""

import subprocess
import sys
import textwrap

import pytest

TRAIN = """
    import numpy as np, tensorflow as tf
    (cpu,) = tf.config.list_physical_devices("CPU")
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    from pep_tf.models import build_model
    from pep_tf.training import Settings
    from pep_tf.training.step import train_step

    def trained(table_device):
        model = build_model(
            "deepfm", {"user": 50, "item": 60}, embedding_dim=4, threshold_init=-4.0,
            granularity=GRANULARITY, table_device=table_device,
        )
        optimizer = Settings(updates=UPDATES, **({"dense_below": 0} if UPDATES == "rowwise" else {})).optimizer(model)
        step = tf.function(lambda ids, labels: train_step(model, optimizer, ids, labels))
        rng = np.random.default_rng(0)
        for _ in range(20):
            ids = rng.integers(0, 50, (16, 2)).astype(np.int32)
            step(tf.constant(ids), tf.constant((rng.random(16) < 0.5).astype(np.float32)))
        return model, optimizer

    def apart(variables):
        return {v.path for v in variables if v._value.device.endswith("CPU:1")}

    (one, _), (other, optimizer) = trained(None), trained("CPU:1")
    tables = {v.path for layer in (other.embedding, other.first_order) for v in layer.weights}
    assert len(tables) == 3, tables
    assert apart(other.weights) == tables
    state = apart(optimizer.variables)
    print(sorted(path.split("/")[-1] for path in state))
    for a, b in zip(one.embedding.current(), other.embedding.current(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
"""


@pytest.mark.parametrize(
    ("updates", "granularity", "state"),
    [
        ("rowwise", "feature_dim", ["last", "moments"]),
        ("dense", "field", ["embedding_table", "embedding_thresholds", "first_order_table"]),
    ],
)
def test_tables_and_moments_stay_together_and_train_alike(updates, granularity, state):
    script = textwrap.dedent(TRAIN)
    script = f"UPDATES, GRANULARITY = {updates!r}, {granularity!r}\n{script}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = done.stdout
    assert all(name in found for name in state), found
    assert "kernel" not in found, found
    assert "iteration" not in found, found
