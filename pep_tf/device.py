"""Which of two cuts of the same work is traced: one for the caches of a CPU, or one for a GPU."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

CPU, GPU = "CPU", "GPU"
# Entries of a table below which the update of all of it costs less than finding the rows of a batch.
# CPU: measured. GPU: an estimate, not measured. Rows took 1.5 ms of a step more than the tower alone on an
# H200 (batch 1,024, 39 fields, prototype). An entry with a threshold moves 48 bytes when all is updated
# (V and s, m and n of both, read and written): at half of the card's 4.8 TB/s 70 million in that time. Op by
# op the whole update was measured at 2.1 ms for 48 million: 34 million. The lower of the two:
DENSE_BELOW = {CPU: 1 << 20, GPU: 1 << 25}
_forced: str | None = None
_xla = True


def on_gpu() -> bool:
    """Whether what is traced now is for a GPU: where TensorFlow sees one, unless `traced_for` says otherwise.

    The two cuts give the same numbers up to rounding. On a CPU rows are worked on tile by tile, in a
    core's cache. On a GPU all rows of a batch are worked on at once, in few sizes, since XLA compiles
    anew for each; and numbers of rows are int64, since TensorFlow works on int32 on the host.
    """
    if _forced is not None:
        return _forced == GPU
    return bool(tf.config.get_visible_devices(GPU))


def dense_below() -> int:
    """The `DENSE_BELOW` of the device at hand."""
    return DENSE_BELOW[GPU if on_gpu() else CPU]


@contextlib.contextmanager
def traced_for(kind: str) -> Iterator[None]:
    """Has functions that are traced inside cut for a `CPU` or a `GPU`, whatever this machine has."""
    global _forced, _xla
    before, _forced = (_forced, _xla), kind
    try:
        yield
    finally:
        _forced, _xla = before


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """What XLA makes of a function, anew for each shape that comes; the function itself `op_by_op`."""
    program = tf.function(function, jit_compile=True, autograph=False, **options)
    return lambda *inputs: program(*inputs) if _xla else function(*inputs)


def uses_xla() -> bool:
    """Whether what is traced now may be compiled by XLA."""
    return _xla


def give_up_xla() -> None:
    """Has all that is traced from here on done op by op: XLA cannot compile on this machine."""
    global _xla
    _xla = False


@contextlib.contextmanager
def op_by_op() -> Iterator[None]:
    """Has nothing that is traced inside compiled by XLA."""
    global _xla
    before, _xla = _xla, False
    try:
        yield
    finally:
        _xla = before


def settle_arithmetic(tf32: bool = False, deterministic: bool = True) -> None:
    """Has TensorFlow give the same bits each time, and float32 mean float32; call it before the first step.

    On a GPU rows are written by TensorFlow's ordinary kernel all the same: the rows of a step are
    distinct, so that their order makes no difference, while the kernel for determinism would copy
    whole tables to the host and back. A model of one's own that scatters to places which repeat
    (`tf.scatter_nd`) is then not deterministic on a GPU; set TF_DISABLE_SCATTER_OP_DETERMINISM=0 for it.

    Args:
        tf32: whether a GPU may round what matrix products of float32 multiply to 11 bits.
        deterministic: False leaves the order of sums to the device: faster, and not the same bits each
            time.
    """
    if deterministic:
        os.environ.setdefault("TF_DISABLE_SCATTER_OP_DETERMINISM", "1")
        tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
