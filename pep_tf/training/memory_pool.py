"""Memory of freed tensors, kept for the next ones."""

import contextlib
import os
import pathlib
import sys

_USE, _LIMIT = "TF_CPU_ALLOCATOR_USE_BFC", "TF_CPU_BFC_MEM_LIMIT_IN_MB"
_CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
_LEAST = 1 << 16  # TensorFlow's own limit: 64 GiB, whatever the machine has


def use_memory_pool() -> None:
    """Makes TensorFlow keep freed CPU memory; call it before the first tensor of the process.

    A step allocates tens of megabytes and frees them again. By default they come from the C library,
    which gives much of it back to the system; the same pages are then cleared and mapped anew at
    each step. TensorFlow's best-fit allocator, which it uses on GPUs, keeps them.

    After the first tensor it has no effect: `tf.config.experimental.get_memory_info("CPU:0")` raises
    ValueError then. Variables of the environment that are there already win:
    `TF_CPU_ALLOCATOR_USE_BFC`, and `TF_CPU_BFC_MEM_LIMIT_IN_MB`, by default what the machine has and
    64 GiB at least.

    Example:
        >>> use_memory_pool()
        >>> model = pep_tf.build_model("linear", {"item": 9})  # all else comes after it
    """
    os.environ.setdefault(_USE, "true")
    os.environ.setdefault(_LIMIT, str(max(machine_memory() >> 20, _LEAST)))


def machine_memory() -> int:
    """Bytes of memory of the machine, or the limit of its container."""
    if not hasattr(os, "sysconf"):  # Windows: nothing is refused for want of memory
        return sys.maxsize
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such file; "max", which is no limit
            found = min(found, int(pathlib.Path(name).read_text()))
    return found
