"""The pool of freed memory, in processes of its own: it is chosen before the first tensor."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, os
import tensorflow as tf
from pep_tf.training import use_memory_pool

use_memory_pool()
tf.zeros([1000, 1000])
try:
    peak = tf.config.experimental.get_memory_info("CPU:0")["peak"]
except ValueError:
    peak = None
print(json.dumps([peak, int(os.environ["TF_CPU_BFC_MEM_LIMIT_IN_MB"])]))
"""


@pytest.mark.parametrize(
    ("own", "pooled", "limit"),
    [
        ({}, True, None),
        ({"TF_CPU_ALLOCATOR_USE_BFC": "false"}, False, None),
        ({"TF_CPU_BFC_MEM_LIMIT_IN_MB": "100"}, True, 100),
    ],
)
def test_what_the_environment_does_not_say_is_set(
    own: dict[str, str], pooled: bool, limit: int | None
) -> None:
    bare = {k: v for k, v in os.environ.items() if not k.startswith("TF_CPU_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=bare | own, capture_output=True, text=True, check=True
    )
    peak, found = json.loads(done.stdout)
    assert (peak is not None) is pooled
    if pooled:
        assert peak >= 4_000_000  # what the tensor takes
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    assert found == (limit or max(have, 64 * 1024))
