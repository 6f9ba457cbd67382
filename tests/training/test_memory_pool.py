"""The pool of freed memory, in processes of its own: it is chosen before the first tensor.

Whether TensorFlow counts the CPU's memory says nothing of the pool: where oneDNN is on, as it is by default
on processors with AMX or VNNI, its allocator counts as well. It also keeps freed memory, so that what the
pool keeps shows with oneDNN off, and that the pool is what allocates shows by its limit with oneDNN on.
"""

import json
import os
import subprocess
import sys

TENSOR_MB = 256
PROGRAM = f"""
import json, os
import tensorflow as tf
from pep_tf.training import use_memory_pool

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

use_memory_pool()
tf.zeros([1])  # what TensorFlow takes once
before = resident()
try:
    tensor = tf.fill([{TENSOR_MB} << 18], 1.0)
    fits, held = True, resident() - before
    del tensor
except tf.errors.ResourceExhaustedError:
    fits, held = False, 0
found = {{name: os.environ["TF_CPU_" + name] for name in ("ALLOCATOR_USE_BFC", "BFC_MEM_LIMIT_IN_MB")}}
print(json.dumps({{"fits": fits, "held": held, "kept": resident() - before, **found}}))
"""


def outcome(onednn: bool, **own: str) -> dict:
    """What the program tells, given variables of the environment."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**bare, "TF_ENABLE_ONEDNN_OPTS": str(int(onednn)), **own},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_freed_memory_stays():
    found = outcome(onednn=False)
    assert found["held"] >= TENSOR_MB
    assert found["kept"] >= TENSOR_MB
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    assert found["ALLOCATOR_USE_BFC"] == "true"
    assert int(found["BFC_MEM_LIMIT_IN_MB"]) == max(machine, 64 * 1024)


def test_a_limit_of_the_environment_holds():
    found = outcome(onednn=True, TF_CPU_BFC_MEM_LIMIT_IN_MB="100")
    assert not found["fits"]  # which only the pool refuses
    assert (found["ALLOCATOR_USE_BFC"], found["BFC_MEM_LIMIT_IN_MB"]) == ("true", "100")


def test_the_environment_can_turn_it_off():
    off = {"TF_CPU_ALLOCATOR_USE_BFC": "false", "TF_CPU_BFC_MEM_LIMIT_IN_MB": "100"}
    found = outcome(onednn=True, **off)
    assert found["fits"]  # since nothing asks for the limit
    assert found["ALLOCATOR_USE_BFC"] == "false"
