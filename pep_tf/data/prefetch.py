"""Reading ahead."""

import tensorflow as tf


def prefetch(dataset: tf.data.Dataset, count: int) -> tf.data.Dataset:
    """Keeps `count` elements ready, with the parallelism that the data set names.

    tf.data's tuning of parallelism is off. No data set here leaves a number to it, and an iterator
    that goes away may wait for its thread: the thread is woken before the mark that tells it to
    stop is set (`tsl::CancellationManager`, TensorFlow 2.21), and then sleeps on, for up to a
    minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(count).with_options(options)
