"""Everything a training step does has a GPU's kernel, and one that is the same each time."""

import importlib.metadata
import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from pep_tf.device import CPU, GPU, traced_for
from pep_tf.distributed import Group
from pep_tf.distributed.group import enter
from pep_tf.models import build_model
from pep_tf.models.registry import MODELS
from pep_tf.training.step import train_step
from tests import tiny
from tests.gpu_kernels import TENSORFLOW, nodes, on_the_host, problems

HOST = {
    "Assert": "what it says when it fails is text",
    "Const": "the text of messages; numbers of a graph that are int32 are sizes",
    "BroadcastGradientArgs": "works on shapes, whose length it does not know in advance",
}
SENT = {"replicated": "CollectiveGatherV2", "sharded": "CollectiveAllToAllV2"}
_IDS = tf.TensorSpec([None, len(tiny.FIELDS)], tf.int32)
_LABELS = tf.TensorSpec([None], tf.float32)


@pytest.fixture(autouse=True, scope="module")
def xla() -> None:
    """XLA registers its kernels when it first compiles."""
    tf.function(lambda: tf.zeros(()), jit_compile=True)()


def problems_of(function: Callable[..., Any], *inputs: tf.TensorSpec) -> list[str]:
    graph = tf.function(function).get_concrete_function(*inputs).graph
    return problems(nodes(graph), HOST) + on_the_host(graph)


def problems_of_a_step(
    name: str, updates: str, full: int | None = None, **options: Any
) -> list[str]:
    graph = graph_of_a_step(name, updates, full, **options)
    return problems(nodes(graph), HOST) + on_the_host(graph)


def graph_of_a_step(name: str, updates: str, full: int | None = None, **options: Any) -> tf.Graph:
    model = tiny.model(name, **options)
    optimizer = tiny.settings(updates=updates).optimizer(model)

    def step(ids: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return train_step(model, optimizer, ids, labels, full=full)

    return tf.function(step).get_concrete_function(_IDS, _LABELS).graph


def test_the_lists_are_those_of_this_tensorflow() -> None:
    assert importlib.metadata.version("tensorflow").startswith(f"{TENSORFLOW}."), (
        "read the sources of this version, and bring the lists in tests/gpu_kernels.py up to date"
    )


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models(name: str) -> None:
    with traced_for(GPU):
        assert problems_of_a_step(name, "rowwise") == []


@pytest.mark.parametrize(
    ("updates", "options"),
    [
        ("dense", {}),
        ("rowwise", {"pruning": "none"}),
        ("rowwise", {"granularity": "field_dim"}),
        ("rowwise", {"dtype": "mixed_bfloat16"}),
        ("dense", {"dtype": "mixed_bfloat16"}),
    ],
)
def test_updates(updates: str, options: dict[str, Any]) -> None:
    with traced_for(GPU):
        assert problems_of_a_step("deepfm", updates, **options) == []


@pytest.mark.parametrize("updates", ["rowwise", "dense"])
def test_batches_of_another_size_which_are_not_compiled(updates: str) -> None:
    with traced_for(GPU):
        assert problems_of_a_step("linear", updates, full=32) == []


@pytest.mark.parametrize("updates", ["rowwise", "dense"])
def test_bags(updates: str) -> None:
    bag = {"size": 9, "width": 2, "combiner": "mean"}  # in three columns, as the tiny fields are
    model = build_model("fm", {"user": 5, "tags": bag}, embedding_dim=tiny.DIM)
    optimizer = tiny.settings(updates=updates).optimizer(model)
    with traced_for(GPU):
        found = problems_of(lambda *batch: train_step(model, optimizer, *batch), _IDS, _LABELS)
    assert found == []


@pytest.mark.parametrize("updates", ["rowwise", "dense"])
def test_tickets(updates: str) -> None:
    with traced_for(GPU):
        assert problems_of_a_step("fm", updates, embedding=tiny.ticket()) == []


@pytest.mark.parametrize("trained", [True, False])
def test_inference_as_evaluation_and_the_check_of_an_export_have_it(trained: bool) -> None:
    model = tiny.model("deepfm")
    if trained:
        tiny.settings(updates="rowwise").optimizer(model)
    with traced_for(GPU):
        assert problems_of(lambda ids: tf.sigmoid(model(ids, training=False)[:, 0]), _IDS) == []


@pytest.mark.parametrize("tables", ["replicated", "sharded"])
def test_several_processes(tables: str) -> None:
    """Collective operations stay on the GPU, NCCL's, one after the other; the host counts bytes.

    What the tower and the optimizer compute between them is compiled.
    """
    enter(Group(2, 0, tables, device="GPU:0"))
    try:
        with traced_for(GPU):
            graph = graph_of_a_step("deepfm", "rowwise")
    finally:
        enter(None)
    assert problems(nodes(graph), HOST) + on_the_host(graph) == []
    arithmetic = [n for n in nodes(graph) if n.op in ("MatMul", "ResourceApplyAdam", "Relu")]
    assert len(arithmetic) > 8
    assert all(node.compiled for node in arithmetic)
    sent = [op for op in graph.get_operations() if op.type.startswith("Collective")]
    assert {op.type for op in sent} >= {"CollectiveReduceV2", SENT[tables]}
    for before, op in itertools.pairwise(sent):
        assert before in op.control_inputs
    for op in sent:
        assert (op.device[-5:], op.get_attr("communication_hint")) == ("GPU:0", b"nccl")


def test_the_cut_for_a_cpu_is_none_for_a_gpu() -> None:
    with traced_for(CPU):
        found = problems_of_a_step("fm", "rowwise", embedding=tiny.ticket())
    expected = ("SparseTensorDenseMatMul", "RaggedRange")
    assert {op for op in expected if any(problem.startswith(op) for problem in found)} == {
        *expected
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda x: tf.scatter_nd([[0], [0]], x, [3]), "ScatterNd.*copied through the host"),
        (lambda x: tf.cast(x, tf.int32) + tf.cast(x, tf.int32), "AddV2.int32.: works on the host"),
        (lambda x: tf.ragged.range(tf.cast(x, tf.int32)).values, "RaggedRange.*no kernel"),
        (lambda x: tf.map_fn(lambda y: tf.scatter_nd([[0]], [y], [3]), x), "ScatterNd"),
    ],
)
def test_what_is_wrong_is_found(wrong: Callable[..., Any], said: str) -> None:
    found = problems_of(wrong, tf.TensorSpec([None], tf.float32))
    assert any(re.search(said, problem) for problem in found), found


def test_a_variable_on_the_host_is_found() -> None:
    few, many = (tf.Variable(tf.zeros([n], tf.int32)) for n in (3, 100))
    found = problems_of(lambda: tf.size(many.read_value()) + tf.size(few.read_value()))
    assert sum("variable of int32 is on the host" in problem for problem in found) == 1, found


def test_what_xla_cannot_compile_is_found() -> None:
    compiled = tf.function(lambda x: tf.strings.length(tf.strings.as_string(x)), jit_compile=True)
    found = problems_of(compiled, tf.TensorSpec([None], tf.float32))
    assert any(problem.startswith("AsString") for problem in found), found
