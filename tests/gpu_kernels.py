"""What a graph would do on a GPU, by TensorFlow's registry of kernels, which is the same on any machine.

The Linux wheel registers its GPU kernels whether there is a GPU or not. The registry says nothing about
determinism: `REFUSED` and `THROUGH_THE_HOST` are read from the sources of TensorFlow 2.21.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

TENSORFLOW = "2.21"  # the version whose sources the two lists below are from
# Fail on a GPU under op determinism: `OP_REQUIRES(..., !OpDeterminismRequired(), ...)` in these files
# of `tensorflow/core/kernels`.
REFUSED = {
    "SparseTensorDenseMatMul": "sparse_tensor_dense_matmul_op_gpu.cu.cc, SparseTensorDenseMatMulFunctorImpl",
    "Bincount": "bincount_op_gpu.cu.cc, BincountFunctor",
    "DenseBincount": "bincount_op.cc, DenseBincountOp",
    "SoftmaxCrossEntropyWithLogits": "xent_op.cc, SoftmaxXentWithLogitsOp",
    "SparseSoftmaxCrossEntropyWithLogits": "sparse_xent_op.cc, SparseSoftmaxXentWithLogitsOp",
    "FusedBatchNormGradV3": "fused_batch_norm_op.cc, FusedBatchNormFreezeGrad",
    "FakeQuantWithMinMaxVarsGradient": "fake_quant_ops.cc, FakeQuantWithMinMaxVarsGradientOp",
    "FakeQuantWithMinMaxVarsPerChannelGradient": "fake_quant_ops.cc",
    "HistogramFixedWidth": "histogram_op_gpu.cu.cc, HistogramFixedWidthFunctor",
    "ResizeNearestNeighborGrad": "resize_nearest_neighbor_op.cc, ResizeNearestNeighborOpGrad",
    "CropAndResizeGradImage": "crop_and_resize_op.cc, CropAndResizeGradImageOp",
    "AdjustContrastv2": "adjust_contrast_op.cc, AdjustContrastOpV2",
}
# Copy what they change to the host and back, all of it: `DoScatterNdOnCpu` in scatter_nd_op.cc, and
# `DoScatterOnCpu` in resource_variable_ops.cc, which also does so without determinism for integers.
THROUGH_THE_HOST = {
    "ScatterNd",
    "TensorScatterUpdate",
    "TensorScatterAdd",
    "TensorScatterSub",
    "TensorScatterMin",
    "TensorScatterMax",
    "ResourceScatterNdUpdate",
    "ResourceScatterNdAdd",
    "ResourceScatterNdSub",
    "ResourceScatterAdd",
    "ResourceScatterSub",
    "ResourceScatterMul",
    "ResourceScatterDiv",
    "ResourceScatterMin",
    "ResourceScatterMax",
}
# Of floats this one does not if TF_DISABLE_SCATTER_OP_DETERMINISM is set (scatter_nd_util.h, line 27):
# right where no row comes twice, as in `pep_tf.device.settle_arithmetic`.
WRITES_ROWS = "ResourceScatterUpdate"
# TensorFlow does arithmetic of sizes and shapes, int32, on the host by design.
_FEW = 8
# No kernels of their own, or such that leave tensors where they are.
_PLUMBING = {"Placeholder", "NoOp", "IdentityN", "PartitionedCall", "StatefulPartitionedCall"}
_PLUMBING |= {"If", "StatelessIf", "While", "StatelessWhile", "Identity", "StopGradient"}
_JIT = "XLA_GPU_JIT"


class Node(NamedTuple):
    """An op of a graph.

    Attributes:
        op: its kind.
        types: `((attribute, type), ...)`.
        few: whether each of its outputs is known to hold a few numbers at most.
        compiled: whether it is in a function that XLA compiles.
    """

    op: str
    types: tuple[tuple[str, tf.DType], ...]
    few: bool
    compiled: bool

    def __str__(self) -> str:
        return f"{self.op}({', '.join(kind.name for _, kind in self.types)})"


def nodes(graph: Any) -> Iterator[Node]:
    """All ops of a graph and of the functions that it calls, each function once."""
    seen: set[tuple[str, bool]] = set()

    def walk(graph: Any, compiled: bool) -> Iterator[Node]:
        for op in graph.get_operations():
            yield _node(op, compiled)
            for name in _functions(op):
                function = _function(graph, name)
                definition = function.cached_definition
                inside = compiled or _must_compile(definition) or _must_compile(op.node_def)
                if (name, inside) not in seen:
                    seen.add((name, inside))
                    yield from walk(function.graph, inside)

    return walk(graph, False)


def problems(found: Iterable[Node], host: dict[str, str]) -> list[str]:
    """What would not run on a GPU, or not the same way twice; sorted, each once.

    Args:
        found: ops of a graph.
        host: `{op: reason}` of what may work on more than a few numbers on the host.
    """
    return sorted({f"{node}: {wrong}" for node in found if (wrong := _problem(node, host))})


def on_the_host(graph: Any) -> list[str]:
    """Variables that TensorFlow keeps on the host, by their type; each with more than a few numbers."""
    found = set()
    for captured, inner in graph.captures:
        if captured.dtype != tf.resource:
            continue
        (data,) = captured._handle_data.shape_and_type
        kind, size = tf.as_dtype(data.dtype), tf.TensorShape(data.shape).num_elements()
        own = [_kernels("VarHandleOp", (("dtype", kind),), on) for on in ("GPU", "DEFAULT")]
        if not any(own) and not (size is not None and size <= _FEW):
            found.add(f"{inner.name}: a variable of {kind.name} is on the host")
    return sorted(found)


def _problem(node: Node, host: dict[str, str]) -> str | None:
    if node.compiled:
        # What XLA compiles has neither strings nor messages in it.
        known = node.op in _PLUMBING or _kernels(node.op, node.types, _JIT)
        return None if known else "XLA has no kernel for a GPU"
    if node.op in REFUSED:
        return f"refuses determinism ({REFUSED[node.op]})"
    if node.op in THROUGH_THE_HOST:
        return "is copied through the host by determinism"
    if node.op == WRITES_ROWS and any(kind.is_integer for _, kind in node.types[-1:]):
        return "is copied through the host, as integers are"
    if node.op in _PLUMBING or node.op in host or node.few:
        return None
    if not (
        own := _kernels(node.op, node.types, "GPU") or _kernels(node.op, node.types, "DEFAULT")
    ):
        return "has no kernel for a GPU"
    outputs = {output.name for output in op_def_registry.get(node.op).output_arg}
    if outputs & set(own[0].host_memory_arg):
        return "works on the host"
    return None


@functools.cache
def _kernels(op: str, types: tuple[tuple[str, tf.DType], ...], device: str) -> list[Any]:
    """The kernels that a device has for an op of these types."""
    given = dict(types)
    return [
        kernel
        for kernel in kernels.get_registered_kernels_for_op(op).kernel
        if kernel.device_type == device
        and all(
            constraint.name not in given
            or given[constraint.name].as_datatype_enum in constraint.allowed_values.list.type
            for constraint in kernel.constraint
        )
    ]


def _node(op: tf.Operation, compiled: bool) -> Node:
    types = sorted(
        (name, tf.as_dtype(value.type))
        for name, value in op.node_def.attr.items()
        if value.HasField("type")
    )
    sizes = [output.shape.num_elements() for output in op.outputs]
    few = bool(sizes) and all(size is not None and size <= _FEW for size in sizes)
    return Node(op.type, tuple(types), few, compiled)


def _functions(op: tf.Operation) -> Iterator[str]:
    for value in op.node_def.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _function(graph: Any, name: str) -> Any:
    while name not in graph._functions:
        graph = graph.outer_graph
    return graph._get_function(name)


def _must_compile(of: Any) -> bool:
    return "_XlaMustCompile" in of.attr and of.attr["_XlaMustCompile"].b
