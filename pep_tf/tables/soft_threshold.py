"""The soft threshold that makes entries of an embedding exactly zero."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pep_tf.device import compiled

Gate = Callable[[tf.Tensor], tf.Tensor]


def soft_threshold(
    table: tf.Tensor, thresholds: tf.Tensor, gate: Gate, *, fused: bool = False
) -> tf.Tensor:
    """`sign(V) * relu(|V| - g(s))` (PEP, eq. 4), computed as `V - min(max(V, -g(s)), g(s))`.

    Args:
        table: V, float32 [..., d].
        thresholds: s, broadcastable to V.
        gate: g.
        fused: whether XLA compiles it, and its gradient, to one pass over memory each. It compiles
            anew for each shape, so this is for inputs that come in few shapes.

    Returns:
        float32, shape of V.
    """
    return _with_gradient(gate, fused)(table, thresholds)


def threshold_gradient(
    table: tf.Tensor, thresholds: tf.Tensor, gate: Gate, of_table: tf.Tensor
) -> tf.Tensor:
    """The gradient of s that belongs to a gradient of V, both through `soft_threshold`.

    Args:
        table: V, float32 [..., d].
        thresholds: s, broadcastable to V.
        gate: g.
        of_table: float32, shape of V; 0 where an entry is pruned.
    """
    return _through_gate(gate, thresholds, -tf.sign(table) * of_table)


@functools.lru_cache(maxsize=64)
def _with_gradient(gate: Gate, fused: bool) -> Callable[..., tf.Tensor]:
    def shrink(table: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
        gates = gate(thresholds)
        return table - tf.maximum(tf.minimum(table, gates), -gates)

    def gradient(
        entries: tf.Tensor, thresholds: tf.Tensor, upstream: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        sign = tf.sign(entries)  # 0 where an entry is pruned
        outward = sign * upstream
        return sign * outward, _through_gate(gate, thresholds, -outward)

    if fused:
        shrink, gradient = compiled(shrink), compiled(gradient)

    @tf.custom_gradient
    def shrunk(table: tf.Tensor, thresholds: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        entries = shrink(table, thresholds)
        return entries, lambda upstream: gradient(entries, thresholds, upstream)

    return shrunk


def _through_gate(gate: Gate, thresholds: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(thresholds)
        gates = gate(thresholds)
    return tape.gradient(gates, thresholds, output_gradients=_summed_like(upstream, gates))


def _summed_like(values: tf.Tensor, small: tf.Tensor) -> tf.Tensor:
    """Sums over what was broadcast, to the shape of `small`."""
    if values.shape.as_list() == small.shape.as_list():
        return values  # one threshold per entry
    axes = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(small), s1=tf.shape(values)).r0
    return tf.reshape(tf.reduce_sum(values, axes), tf.shape(small))
