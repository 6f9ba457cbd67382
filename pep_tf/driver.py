"""TensorFlow's devices, and why it lists no GPU on a machine that has an NVIDIA driver."""

import functools
import os
import pathlib
import re
import subprocess
import sys

import tensorflow as tf

from pep_tf.notices import lines_without

_VERSION = pathlib.Path("/proc/driver/nvidia/version")
_SMI = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
# By NVIDIA's table of CUDA's compatibility: the major version of CUDA, and the oldest driver for it.
_OLDEST = {"12": (525, 60), "13": (580, 65)}
# CUDA's code 303: there is no driver. TensorFlow logs it as an error on every machine without a GPU.
_NO_DRIVER = (
    "failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)"
)


def find_devices() -> None:
    """Has TensorFlow look for its devices, which commands do before all else.

    That there is no GPU is no error: only the line that says so is left out. If TensorFlow cannot use
    the GPU of a machine that has one, a line says why.
    """
    _list_devices()
    if reason := why_no_gpu():
        print(f"warning: {reason}", file=sys.stderr)


@functools.cache
def _list_devices() -> None:
    """Lists them; TensorFlow looks for them once a process."""
    with lines_without(_NO_DRIVER):
        tf.config.list_physical_devices()


def why_no_gpu() -> str | None:
    """What is wrong, in one sentence; None if TensorFlow lists a GPU, none is wanted, or there is no driver."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or tf.config.list_physical_devices("GPU") or not (driver := _driver()):
        return None
    cuda = tf.sysconfig.get_build_info().get("cuda_version", "")
    here = f"TensorFlow lists no GPU, though this machine has NVIDIA's driver {driver}: "
    oldest = _OLDEST.get(cuda.partition(".")[0])
    if oldest is None:
        return f"{here}TensorFlow {tf.__version__} is built without CUDA"
    if tuple(map(int, driver.split(".")[:2])) < oldest:
        return f"{here}CUDA {cuda} needs {oldest[0]}.{oldest[1]} or newer"
    return f"{here}CUDA {cuda} may not be installed, see BUILD.md, or this process is given no GPU"


def _driver() -> str | None:
    """Version of the driver that is loaded."""
    try:
        told = _VERSION.read_text() if _VERSION.exists() else _asked()
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", told)
    return found and found[0]


def _asked() -> str:
    return subprocess.run(_SMI, capture_output=True, text=True, timeout=10, check=True).stdout
