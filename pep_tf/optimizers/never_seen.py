"""Rows that no batch has held yet: one small table for all of them.

Until its first touch an entry's state depends on its start v0 = p0 - target and on the step alone,
and it is odd in v0. So the recurrence itself, run once a step on a grid of |v0|, serves every row:

    grid = never_seen_start(limit)                    # before step 1
    grid = never_seen_step(grid, t, hyper)            # once in step t = 1, 2, ...
    p, m, n = never_seen(grid, limit, p0, hyper)      # after step t

`catch_up` with `last = 0` gives the same without a table; the grid is closer to dense for rows that
wait long and cheaper for very many of them (`python -m benchmarks.catch_up_error` prints both
errors). The grid is a tensor [3, G], to be kept in a variable and saved with the run.
"""

import tensorflow as tf

from pep_tf.optimizers.catch_up_stages import TINY
from pep_tf.optimizers.hyper import Hyper


def never_seen_start(limit: float, points: int = 2048) -> tf.Tensor:
    """The grid before the first step.

    Args:
        limit: largest |p0 - target| that will be asked for, positive.
        points: nodes, at least 2. They are spaced as squares, node i at limit * (i / (G - 1))**2:
            Adam's first steps do not shrink with the entry, so small entries need the nodes.

    Returns:
        float32 [3, points]: v, m, n at each node.

    Raises:
        ValueError: `limit` or `points` is out of range.
    """
    if not limit > 0.0:
        raise ValueError(f"`limit` must be positive. Received: limit={limit!r}")
    if points < 2:
        raise ValueError(f"`points` must be at least 2. Received: points={points!r}")
    v = limit * tf.linspace(0.0, 1.0, points) ** 2
    return tf.stack([v, tf.zeros_like(v), tf.zeros_like(v)])


def never_seen_step(grid: tf.Tensor, step: tf.Tensor | int, hyper: Hyper) -> tf.Tensor:
    """The grid one step later: the exact recurrence, about ten operations on G numbers.

    Args:
        grid: float32 [3, G], the state after step - 1.
        step: number of the step taken, from 1.
        hyper: the constants of the update.
    """
    v, m, n = tf.unstack(grid)
    t = tf.cast(step, tf.float64)
    first, second = (1.0 - tf.constant(b, tf.float64) ** t for b in (hyper.beta_1, hyper.beta_2))
    root = tf.sqrt(second)
    size = tf.cast(hyper.learning_rate * root / first, tf.float32)
    g = hyper.l2 * v
    m = hyper.beta_1 * m + (1.0 - hyper.beta_1) * g
    n = hyper.beta_2 * n + (1.0 - hyper.beta_2) * g * g
    under = tf.sqrt(n) + tf.cast(hyper.epsilon * root, tf.float32)
    return tf.stack([v - size * m / tf.maximum(under, TINY), m, n])


def never_seen(
    grid: tf.Tensor, limit: float, start: tf.Tensor, hyper: Hyper
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """State of entries that had `start` before step 1 and no data gradient since.

    Args:
        grid: float32 [3, G], advanced to the step in question.
        limit: as given to `never_seen_start`; entries beyond it get the state of the last node.
        start: float32, any shape: the entries' first values.
        hyper: the constants of the update.

    Returns:
        p, m, n: float32 in the shape of `start`, interpolated linearly between the nodes.
    """
    v = start - hyper.target
    top = tf.shape(grid)[1] - 1
    place = tf.sqrt(tf.minimum(tf.abs(v) / limit, 1.0)) * tf.cast(top, tf.float32)
    low = tf.minimum(tf.cast(place, tf.int32), top - 1)
    # Node i lies at i**2: the weight is linear in v0, not in the place.
    node = tf.cast(low, tf.float32)
    weight = ((place - node) * (place + node) / (2.0 * node + 1.0))[..., tf.newaxis]
    nodes = tf.transpose(grid)
    mixed = (1.0 - weight) * tf.gather(nodes, low) + weight * tf.gather(nodes, low + 1)
    moved, m, n = tf.unstack(mixed, axis=-1)
    sign = tf.sign(v)
    return hyper.target + sign * moved, sign * m, n
