"""What every way to make a small table says: its tables, and how a row is made of their rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from pep_tf.errors import NumberError
from pep_tf.numbers import wholes
from pep_tf.tables.packed.stored_table import Arrays

# Name of a table and places int32 [n] in it to its rows float32 [n, width].
At = Callable[[str, tf.Tensor], tf.Tensor]


class Scheme:
    """Rows of N features made of the rows of a few small tables.

    Args:
        field_sizes: features of each field, N in all.
        dim: width d of a row.
        size: what sets how large the tables are; see the subclass.

    Attributes:
        shapes: `{table: (rows, width)}` of what is looked up while it is trained.
        code_bytes: bytes of what is stored besides numbers, see `codes`.
        by_counts: whether it goes by how often features occur, see `begin`.
    """

    name: str
    shapes: dict[str, tuple[int, int]]
    code_bytes: int = 0
    by_counts = False

    def __init__(self, field_sizes: Sequence[int], dim: int, size: int) -> None:
        self.field_sizes = wholes("field_sizes", list(field_sizes), least=1)
        self.dim, self.size = int(dim), int(size)
        self.first = np.cumsum([0, *self.field_sizes])

    @property
    def num_rows(self) -> int:
        """N."""
        return int(self.first[-1])

    @property
    def stored(self) -> dict[str, tuple[int, int]]:
        """`shapes` of the tables whose numbers are stored."""
        return self.shapes

    @property
    def numbers(self) -> int:
        """Numbers that are stored, and one for each four bytes of codes."""
        return sum(math.prod(shape) for shape in self.stored.values()) - (-self.code_bytes // 4)

    @classmethod
    def sizes(cls, field_sizes: Sequence[int], dim: int) -> tuple[int, int]:
        """The `size` of the smallest tables, and that of the largest."""
        raise NotImplementedError(f"{cls.__name__} must define `sizes`.")

    @classmethod
    def fitting(
        cls,
        field_sizes: Sequence[int],
        dim: int,
        most: int,
        measure: Callable[["Scheme"], int] | None = None,
        unit: str = "numbers",
    ) -> Self:
        """The largest tables within a budget.

        Args:
            field_sizes, dim: see `Scheme`.
            most: the budget.
            measure: what of a scheme is to be within it; None takes its numbers.
            unit: what is measured, for the message.

        Raises:
            NumberError: a budget below the smallest tables.
        """
        of: Callable[[Scheme], int] = measure or (lambda scheme: scheme.numbers)
        low, high = cls.sizes(field_sizes, dim)
        if of(smallest := cls(field_sizes, dim, low)) > most:
            raise NumberError(
                f"Method {cls.name!r} takes at least {of(smallest):,} {unit} with embeddings of width "
                f"{dim}. Received: a budget of {most:,} {unit}"
            )
        while low < high:
            middle = (low + high + 1) // 2
            fits = of(cls(field_sizes, dim, middle)) <= most
            low, high = (middle, high) if fits else (low, middle - 1)
        return cls(field_sizes, dim, low)

    def initial(self, table: str) -> Any:
        """How Keras initialises one of the tables; by default as a table [N, d] would be."""
        limit = math.sqrt(6 / (self.num_rows + self.dim))
        return {"class_name": "RandomUniform", "config": {"minval": -limit, "maxval": limit}}

    def trained(self, table: str) -> bool:
        """Whether a table is trained; one that is not holds what `begin` tells."""
        return True

    def begin(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Tables by how often each feature occurs [N], of a scheme that goes by it."""
        return {}

    def codes(self, tables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What is stored of trained tables besides the numbers of `stored`, by name."""
        return {}

    def rows(self, rows: tf.Tensor, at: At) -> tf.Tensor:
        """float32 [n, d] of features int32 [n], each in [0, N)."""
        raise NotImplementedError(f"{type(self).__name__} must define `rows`.")

    def served(self, rows: tf.Tensor, at: At, arrays: Arrays) -> tf.Tensor:
        """The same of the tables in `stored` and of `codes`, which are among `arrays`."""
        return self.rows(rows, at)

    def get_config(self) -> dict[str, Any]:
        """The arguments, JSON-ready."""
        return {"field_sizes": list(self.field_sizes), "dim": self.dim, "size": self.size}

    def _fields(self, rows: tf.Tensor) -> tf.Tensor:
        """The field of each feature, int32 [n]."""
        ends = tf.constant(self.first[1:-1], tf.int32)
        return tf.reduce_sum(tf.cast(rows[:, None] >= ends, tf.int32), axis=1)


def of_field(values: Sequence[int] | np.ndarray, fields: tf.Tensor) -> tf.Tensor:
    """The value int32 of each of `fields` [n]."""
    return tf.gather(tf.constant(np.asarray(values), tf.int32), fields)
