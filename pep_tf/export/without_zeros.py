"""What a tower computes from embeddings and can compute without their columns of zeros."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import tensorflow as tf

from pep_tf.export.kept_columns import KeptColumns, KeptNumbers

_SAME_NUMBERS = ("Reshape", "Identity", "Cast")


@dataclasses.dataclass(frozen=True)
class WithoutZeros:
    """A tensor of the tower that needs the kept columns alone.

    Attributes:
        result: the tensor: [B, units], a product of the flattened embeddings with a matrix, or
            [B, d], the sum of the embeddings of a row.
        matrix: name of the matrix, or None for a sum.
        squared: whether it is the sum of the squares.
    """

    result: tf.Tensor
    matrix: str | None = None
    squared: bool = False

    def of(
        self, kept: KeptColumns, numbers: KeptNumbers, matrices: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Its value; of the matrix, only `kept.rows` are given."""
        numbers = KeptNumbers(*(tf.cast(part, self.result.dtype) for part in numbers))
        if self.matrix is not None:
            return kept.product(numbers, tf.cast(matrices[self.matrix], self.result.dtype))
        if self.squared:
            numbers = KeptNumbers(*(tf.square(part) for part in numbers))
        return kept.sum_of_fields(numbers)


def without_zeros(
    embedded: tf.Tensor, matrices: Collection[tf.Tensor], kept: KeptColumns
) -> list[WithoutZeros]:
    """What of a graph is faster by the kept columns alone.

    A matrix counts only if it does nothing but multiply the flattened embeddings: its other rows are
    then of no use. Sums count where the table stores these columns, since then the embeddings
    need not be put together for them.

    Args:
        embedded: [B, F, d], an input of the graph.
        matrices: further inputs, the value of a variable each.
        kept: the columns that are not always zero.
    """
    forms = list(_same(embedded))
    flat = {id(x) for x in forms if x.shape.as_list()[1:] == [kept.num_fields * kept.dim]}
    found = []
    for matrix in matrices:
        if matrix.shape.rank != 2 or matrix.shape[0] != kept.num_fields * kept.dim:
            continue
        own = list(_same(matrix))
        uses = [op for form in own for op in form.consumers() if op.type not in _SAME_NUMBERS]
        products = [op for op in uses if _multiplies(op, flat, {id(form) for form in own})]
        if len(products) == len(uses) and kept.worth(matrix.shape[1]):
            found += [WithoutZeros(op.outputs[0], matrix.name) for op in products]
    if kept.stored:
        found += _sums([x for x in forms if x.shape.as_list() == embedded.shape.as_list()])
    return found


def _same(tensor: tf.Tensor) -> Iterator[tf.Tensor]:
    """A tensor and what holds its numbers in another shape or type."""
    yield tensor
    for op in tensor.consumers():
        if op.type in _SAME_NUMBERS and op.inputs[0] is tensor:
            yield from _same(op.outputs[0])


def _multiplies(op: tf.Operation, inputs: Collection[int], matrix: Collection[int]) -> bool:
    """Whether it is the product of one of the inputs with the matrix, neither of them transposed."""
    return (
        op.type == "MatMul"
        and id(op.inputs[0]) in inputs
        and id(op.inputs[1]) in matrix
        and not (op.get_attr("transpose_a") or op.get_attr("transpose_b"))
    )


def _sums(embedded: Collection[tf.Tensor]) -> Iterator[WithoutZeros]:
    """Sums over fields of embeddings, and of their squares."""
    for form in embedded:
        for op in form.consumers():
            if _sums_fields(op):
                yield WithoutZeros(op.outputs[0])
            if op.type == "Square":
                for use in op.outputs[0].consumers():
                    if _sums_fields(use):
                        yield WithoutZeros(use.outputs[0], squared=True)


def _sums_fields(op: tf.Operation) -> bool:
    if op.type != "Sum" or op.get_attr("keep_dims"):
        return False
    axes = tf.get_static_value(op.inputs[1])
    return axes is not None and np.array_equal(np.ravel(axes), [1])
