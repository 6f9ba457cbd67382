"""Where the tables of a run are kept: where it trains, or on the host when they do not fit the GPU."""

import functools

import tensorflow as tf
from tensorflow.python.client import device_lib

from pep_tf.driver import why_no_gpu
from pep_tf.errors import RunError
from pep_tf.experiments.config import AUTO, CPU, GPU, Config
from pep_tf.experiments.environment import device
from pep_tf.layers import Granularity
from pep_tf.models import models_with

_SHARE = 0.8  # of the GPU's memory; the rest is for the tower and the rows of a batch


def table_device(config: Config, num_features: int) -> str | None:
    """The device for tables and their moments, named as for `tf.device`; None: the default one.

    Raises:
        RunError: `--table_device=gpu` without a GPU, or with one that cannot hold them.
    """
    memory, needed = gpu_memory(), table_bytes(config, num_features)
    if config.table_device == GPU and memory is None:
        raise RunError(
            f"--table_device=gpu: {why_no_gpu() or 'TensorFlow sees no GPU'}. Leave the flag out, or see "
            "the installation for a GPU in BUILD.md."
        )
    if config.table_device == GPU and memory is not None and needed > memory:
        raise RunError(
            f"--table_device=gpu: tables with thresholds and moments take {needed / 1e9:,.1f} GB, "
            f"{(needed - memory) / 1e9:,.1f} GB more than the {memory / 1e9:,.1f} GB of the GPU. "
            "--table_device=cpu keeps them on the host."
        )
    if config.table_device == AUTO and memory is not None:
        return "CPU" if needed > _SHARE * memory else None
    return "CPU" if config.table_device == CPU else None


def devices(config: Config, num_features: int) -> str:
    """The device of a run and of its tables, in words."""
    apart = table_device(config, num_features) is not None
    return device() + (", tables on the host" if apart else "")


def table_bytes(config: Config, num_features: int) -> int:
    """Bytes of the widest tables of a run, thresholds, moments and the last step of each row."""
    dim = max(config.embedding_dim, *config.baseline_dims, 0)
    weights = dim + (config.model in models_with("first_order"))
    granularity = Granularity(config.granularity)
    if granularity.by_feature:
        weights += granularity.shape(1, 1, dim)[1] + config.prune_linear
    return 4 * num_features * (3 * weights + 1)


@functools.cache  # asking creates the devices anew, and a search asks for each trial
def gpu_memory() -> int | None:
    """Bytes that TensorFlow may take of the first GPU; None without one."""
    if not tf.config.list_physical_devices("GPU"):
        return None
    return next(d.memory_limit for d in device_lib.list_local_devices() if d.device_type == "GPU")
