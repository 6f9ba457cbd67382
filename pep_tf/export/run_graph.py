"""A traced graph run as part of another one, with some of its tensors given."""

from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf


def run_graph(graph: Any, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The one output of a graph, in the graph that is being traced.

    Args:
        graph: of a `tf.function` that was traced.
        given: tensors by the names of those that they stand for, all inputs among them that the others
            leave a use for. What only served to compute a given tensor is left out.
    """
    (output,) = graph.outputs
    ends = [output.op.name, *(op.name for op in graph.control_outputs)]
    definition = _leading_to(ends, graph.as_graph_def(), {name.split(":")[0] for name in given})
    used = {source for node in definition.node for source in node.input}  # without `:0`
    wanted = {k: v for k, v in given.items() if k.removesuffix(":0") in used}
    (answer,) = tf.graph_util.import_graph_def(definition, wanted, [output.name], name=graph.name)
    return answer


def _leading_to(ends: Collection[str], definition: Any, given: Collection[str]) -> Any:
    """The nodes that the ends need, as a `GraphDef` without those that are given."""
    nodes = {node.name: node for node in definition.node}
    needed, left = set[str](), list(ends)
    while left:
        name = left.pop()
        if name not in needed and name not in given:
            needed.add(name)
            left += [source.lstrip("^").split(":")[0] for source in nodes[name].input]
    new = tf.compat.v1.GraphDef(versions=definition.versions, library=definition.library)
    for name, node in nodes.items():
        if name in needed:
            own = new.node.add()
            own.CopyFrom(node)
            sources = [source for source in node.input if source[1:] not in given]
            own.input[:] = sources  # nothing waits for a node that is not there
    return new
