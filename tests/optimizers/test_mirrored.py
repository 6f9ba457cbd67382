"""Training under `tf.distribute.MirroredStrategy`."""

import json
import subprocess
import sys


def test_two_devices_do_what_one_does():
    command = [sys.executable, "-m", "tests.optimizers.mirrored"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    differences = json.loads(told.stdout.splitlines()[-1])
    assert set(differences) == {"coupled", "rowwise", "adam"}
    assert all(difference < 1e-5 for difference in differences.values()), differences
