"""Two devices of one process that send each other what workers send."""

import json
from concurrent.futures import ThreadPoolExecutor


def two_devices(path):
    """What goes from one logical device of a process to the other, as from GPU to GPU."""
    import tensorflow as tf

    from pep_tf.distributed import Group

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    groups = [Group(2, rank, device=f"CPU:{rank}") for rank in range(2)]

    def sent(group):
        @tf.function(autograph=False)
        def step(rows):
            ones, kind = tf.ones([2, 16, 3]), tf.constant(1)
            swapped = group.swap(ones * float(group.rank + 1), kind)
            (total,) = group.sum([tf.reduce_sum(rows)])
            return group.gather_rows(rows), total, swapped[:, 0, 0], group.most(tf.size(rows))

        with tf.device(f"CPU:{group.rank}"):
            return [
                (found.numpy().tolist(), found.device[-5:])
                for found in step(tf.fill([3 + group.rank, 2], float(group.rank)))
            ]

    with ThreadPoolExecutor(2) as pool:
        path.write_text(json.dumps(list(pool.map(sent, groups))))
