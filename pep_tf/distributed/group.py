"""What the workers of a cluster send each other: TensorFlow's collective operations, in one order."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pep_tf.device import CPU, GPU, traced_for

_HOSTS, _DEVICES = (
    1077,
    1078,
)  # keys of all workers together, of which each needs one kind of device
_HOST = "CPU:0"
_FIRST_KEY, _SIZES = 10_000, 128  # keys of the sites of a graph, and how many a site may have
_LEAST = 16  # rows that a padded part holds at least
AUTO, REPLICATED, SHARDED = TABLES = ("auto", "replicated", "sharded")
SHARDED_FROM = 1 << 20  # rows of a table that `auto` shards: of 64 columns, with moments, 1.6 GB
_group: "Group | None" = None


def current() -> "Group | None":
    """The group that this process belongs to; None where it trains alone."""
    return _group


def is_leader() -> bool:
    """Whether this process writes results: it is alone, or worker 0."""
    return _group is None or _group.rank == 0


def agreed(value: Any) -> Any:
    """What worker 0 has, which JSON can hold; the value itself where a process is alone."""
    return value if _group is None else _group.from_leader(value)


def wait() -> None:
    """Waits until all workers have come as far, so that what worker 0 wrote is there for all."""
    if _group is not None:
        _group.wait()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """What is made and called inside is this process's own: whole tables, and nothing is exchanged."""
    global _group
    before, _group = _group, None
    try:
        yield
    finally:
        _group = before


@contextlib.contextmanager
def whole_tables() -> Iterator[None]:
    """Tables that are made inside are whole on every worker."""
    if _group is None:
        yield
        return
    before, _group.tables = _group.tables, REPLICATED
    try:
        yield
    finally:
        _group.tables = before


def enter(group: "Group | None") -> None:
    """Makes this process one of a group."""
    global _group
    _group = group


class _Place(NamedTuple):
    """Where collective operations run; those with one token run in one order, which NCCL needs."""

    key: int
    device: str
    token: tf.Variable

    @classmethod
    def on(cls, key: int, device: str) -> "_Place":
        with tf.init_scope(), tf.device(device):
            return cls(key, device, tf.Variable(0.0, trainable=False))


class Group:
    """The workers of a cluster, all of which do the same steps in the same order.

    Each operation has a place of its own in the graph that holds it, by which TensorFlow finds the
    parts that belong together; graphs are traced alike on every worker. What a step sends goes from
    device to device, by NCCL between GPUs; what Python asks for between steps from host to host. Parts
    of changing size are filled up to few sizes, since TensorFlow pins a place to one shape.

    Args:
        size: number of workers.
        rank: of this one, from 0.
        tables: which tables are sharded: all that have a row for each worker (`"sharded"`), none
            (`"replicated"`), or the large ones (`"auto"`).
        here: how many of them share this one's host.
        device: of this one, on which its steps run.

    Attributes:
        sent: bytes that this worker has sent, as TensorFlow's ring and all-to-all send them, int64.
    """

    def __init__(
        self, size: int, rank: int, tables: str = AUTO, here: int = 1, device: str = _HOST
    ) -> None:
        self.size, self.rank, self.tables, self.here = size, rank, tables, here
        self._place, self._host = _Place.on(_DEVICES, device), _Place.on(_HOSTS, _HOST)
        with tf.init_scope(), tf.device(_HOST):
            self.sent = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._sites = 0
        words = tf.TensorSpec([None, 1], tf.int32)
        self._gather = tf.function(self._on_host(self.gather_rows), [words], autograph=False)
        self._total = tf.function(self._on_host(self._sum), autograph=False, reduce_retracing=True)

    def shards(self, rows: int) -> bool:
        """Whether each worker has its own part of a table of so many rows."""
        return rows >= {AUTO: SHARDED_FROM, SHARDED: self.size}.get(self.tables, rows + 1)

    def sum(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        """The sums over all workers, as one message for each type; the same bits on all of them."""
        found: dict[int, tf.Tensor] = {}
        for dtype in dict.fromkeys(t.dtype for t in tensors):
            own = [(i, t) for i, t in enumerate(tensors) if t.dtype == dtype]
            total = self._sum(tf.concat([tf.reshape(t, [-1]) for _, t in own], 0))
            parts = tf.split(total, [tf.size(t) for _, t in own], num=len(own))
            for (i, tensor), part in zip(own, parts, strict=True):
                found[i] = tf.ensure_shape(tf.reshape(part, tf.shape(tensor)), tensor.shape)
        return [found[i] for i in range(len(tensors))]

    def differentiable_sum(self, tensor: tf.Tensor) -> tf.Tensor:
        """The sum over all workers of what each has made from its own rows.

        The gradient of a sum that all use is the sum of all their gradients.
        """

        @tf.custom_gradient
        def total(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            return self._sum(x), self._sum

        return total(tensor)

    def most(self, number: tf.Tensor) -> tf.Tensor:
        """The largest of the workers' numbers, int32."""
        return self._reduce(tf.cast(number, tf.int32)[None], "Max")[0]

    def gather_rows(self, rows: tf.Tensor) -> tf.Tensor:
        """The rows of all workers one below the other, in the order of the workers.

        Args:
            rows: [n, C], with an n of each worker's own.
        """
        counts = self._gather_filled(tf.shape(rows)[:1], tf.constant(0))
        size, kind = padded_size(tf.reduce_max(counts))
        filled = tf.pad(rows, [[0, size - tf.shape(rows)[0]], [0, 0]])
        parts = tf.reshape(self._gather_filled(filled, kind), [self.size, size, rows.shape[1]])
        number = tf.range(tf.cast(size, tf.int64))  # of int32 a GPU would leave it to the host
        return tf.boolean_mask(parts, number < tf.cast(counts, tf.int64)[:, None])

    def swap(self, parts: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
        """Part j of the first axis goes to worker j; part i comes from worker i.

        Args:
            parts: [W, M, ...].
            kind: of M, by `padded_size`.
        """
        op, share = tf.raw_ops.CollectiveAllToAllV2, (self.size - 1) / self.size
        return tf.ensure_shape(self._sent(op, parts, kind, share), parts.shape)

    # What Python asks for between steps.

    def gather_arrays(self, array: np.ndarray) -> list[np.ndarray]:
        """The arrays of all workers, of one type and any shape each."""
        told = self.gather_objects([list(array.shape)])
        raw = np.ascontiguousarray(array).tobytes()
        content = self._gather_bytes(raw)
        return [
            np.frombuffer(part, array.dtype).reshape(shape[0])
            for part, shape in zip(content, told, strict=True)
        ]

    def gather_objects(self, value: Any) -> list[Any]:
        """What JSON holds of all workers, in their order."""
        return [json.loads(part) for part in self._gather_bytes(json.dumps(value).encode())]

    def from_leader(self, value: Any) -> Any:
        """What worker 0 has, which JSON can hold."""
        return self.gather_objects(value if self.rank == 0 else None)[0]

    def total(self, array: np.ndarray) -> np.ndarray:
        """The sum of the workers' arrays, of one shape."""
        return self._total(tf.constant(array.ravel())).numpy().reshape(array.shape)

    def wait(self) -> None:
        """Waits until all workers have come as far."""
        self.gather_objects(None)

    def _gather_bytes(self, content: bytes) -> list[bytes]:
        sizes = np.frombuffer(len(content).to_bytes(8, "little"), np.int32)
        padded = np.frombuffer(content + bytes(-len(content) % 4), np.int32)
        words = np.concatenate([sizes, padded])[:, None]
        flat = self._gather(tf.constant(words)).numpy()[:, 0]
        parts = []
        for _ in range(self.size):
            size = int.from_bytes(flat[:2].tobytes(), "little")
            end = 2 + -(-size // 4)
            parts.append(flat[2:end].tobytes()[:size])
            flat = flat[end:]
        return parts

    def _sum(self, tensor: tf.Tensor) -> tf.Tensor:
        return self._reduce(tensor, "Add")

    def _reduce(self, tensor: tf.Tensor, merge: str) -> tf.Tensor:
        op, share = tf.raw_ops.CollectiveReduceV2, 2 * (self.size - 1) / self.size
        found = self._sent(op, tensor, tf.constant(0), share, merge_op=merge, final_op="Id")
        return tf.ensure_shape(found, tensor.shape)

    def _gather_filled(self, part: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
        """Parts of one shape, one below the other."""
        return self._sent(tf.raw_ops.CollectiveGatherV2, part, kind, self.size - 1)

    def _on_host(self, function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[..., tf.Tensor]:
        """The same from host to host, whatever steps run on."""

        def traced(tensor: tf.Tensor) -> tf.Tensor:
            before, self._place = self._place, self._host
            try:
                with traced_for(CPU), tf.device(_HOST):
                    return function(tensor)
            finally:
                self._place = before

        return traced

    def _sent(
        self,
        op: Callable[..., tf.Tensor],
        tensor: tf.Tensor,
        kind: tf.Tensor,
        share: float,
        **options: str,
    ) -> tf.Tensor:
        """What a collective operation gives, at a new place in a graph; bytes are counted when it comes by.

        Args:
            op: the operation.
            tensor: of this worker.
            kind: number of its size among those it may have.
            share: of the tensor that this worker sends.
            **options: of the operation.
        """
        self._sites += 1
        key, device, token = self._place
        with tf.device(_HOST):
            entries = tf.cast(tf.size(tensor), tf.float64)
            self.sent.assign_add(tf.cast(tensor.dtype.size * share * entries, tf.int64))
        with tf.device(device):
            return op(
                input=tensor,
                group_size=self.size,
                group_key=key,
                instance_key=_FIRST_KEY + _SIZES * self._sites + kind,
                ordering_token=[token.handle],
                communication_hint="nccl" if GPU in device else "auto",
                timeout_seconds=0,
                is_stateless=False,
                **options,
            )


def padded_size(count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The size that so many rows are filled up to, and its number among the sizes there are.

    A power of two, or one and a quarter, a half or three quarters of it: at most a fifth is filling.

    Args:
        count: number of rows, int32.
    """
    sizes = [_LEAST * quarters * 2**power // 4 for power in range(27) for quarters in (4, 5, 6, 7)]
    kind = tf.raw_ops.LowerBound(sorted_inputs=[sizes], values=count[None, None])[0, 0]
    return tf.gather(tf.constant(sizes), kind), kind


def bits_of(ids: tf.Tensor) -> tf.Tensor:
    """Numbers of rows as they travel: the bits of int32 as float32, which a GPU does not leave to the host."""
    return tf.bitcast(tf.cast(ids, tf.int32), tf.float32)


def ids_of(bits: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """What `bits_of` was made of, as this kind of integer."""
    return tf.cast(tf.bitcast(bits, tf.int32), dtype)
