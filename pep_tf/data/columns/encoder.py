"""What each kind of column is: from texts to the ids of its field, in training and in serving alike."""

import dataclasses
import hashlib
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from pep_tf.data.columns.texts import MISSING, Texts
from pep_tf.data.raw import RawColumn
from pep_tf.data.remembered import through


@dataclasses.dataclass(frozen=True)
class Seen:
    """What an encoder may know of the data: a column in the training rows.

    Attributes:
        field: name of the field.
        place: its place among the fields.
        texts: the texts that occur, each once, but for `MISSING`; of a bag, those of its values.
        counts: int64, how often each does.
        everywhere: of a bag, the text with the most values in all rows.
    """

    field: str
    place: int
    texts: list[bytes]
    counts: np.ndarray
    everywhere: list[bytes]


class Encoder(tf.Module):
    """Texts of a column to ids int32 [B], each in [0, size); id 0 is a missing value.

    A kind of column is a subclass. It says in `encode` what becomes of a text that is not missing.

    Attributes:
        must_be: what a value must be, in words that follow "must be".
        whole_numbers: whether a float that may be a rounded whole number is refused.
        learns: whether `fit` asks for the texts of the training rows.
        by_sample: whether those of a million of them are enough.
        size: ids of the field.
        width, combiner: see `Field`.
        separator: of a bag, what stands between its values.
    """

    must_be: str = "any text"
    whole_numbers: ClassVar[bool] = True
    learns: ClassVar[bool] = True
    by_sample: ClassVar[bool] = False
    size: int
    width = 1
    combiner: str | None = None
    separator: str | None = None

    @classmethod
    def fit(cls, seen: Seen, argument: Any) -> Self:
        """The encoder of a column.

        Args:
            seen: the training rows.
            argument: what the declaration has behind the kind, such as N of `hash:N`.
        """
        raise NotImplementedError

    @property
    def column(self) -> RawColumn:
        return RawColumn(tf.string, self.must_be, missing="")

    @property
    def field(self) -> dict[str, Any]:
        """What its field is, but for the name; see `Field`."""
        return {"size": self.size, "width": self.width, "combiner": self.combiner}

    @classmethod
    def refused(cls, texts: tf.Tensor) -> tf.Tensor:
        """bool [B], whether a text, not missing, is no value of this kind."""
        raise NotImplementedError

    @classmethod
    def refused_of(cls, texts: Texts) -> np.ndarray:
        """As `refused`, bool [distinct] of the texts of a column."""
        return through(cls.refused, texts.distinct)

    def ids_of(self, texts: Texts) -> np.ndarray:
        """int32 [distinct, width], the ids of the texts of a column, none of them refused."""
        return through(self, texts.distinct)

    def refused_here(self, texts: tf.Tensor) -> tf.Tensor:
        """As `refused`, by what the training rows have shown."""
        return self.refused(texts)

    def encode(self, texts: tf.Tensor) -> tf.Tensor:
        """int32 [B], ids of texts that are neither missing nor refused; of others any number."""
        raise NotImplementedError

    @property
    def alike(self) -> Hashable | None:
        """Of fields for which this is equal, the ids are computed at once, by `joined`; None: one by one."""
        return None

    def joined(self, others: "Sequence[Encoder]") -> "Encoder":
        """The encoder of texts [B, k], column by column as `others` have it, this one the first of them."""
        del others
        return self

    def without(self, empty: np.ndarray) -> "Encoder":
        """See `RawTransform.without`; `empty` is bool [size]."""
        del empty
        return self

    def state(self) -> list[Any]:
        """Everything that decides an id: JSON-ready values and arrays."""
        raise NotImplementedError

    def encoding(self) -> dict[str, Any]:
        """How a value becomes an id; see `FieldKeys`."""
        raise NotImplementedError

    def key_texts(self) -> list[bytes] | None:
        """By id, the UTF-8 of the value that it stands for; None where `encoding` tells it."""
        return None

    def key_codes(self) -> np.ndarray | None:
        """By id, numbers that say which value it is; see `FieldKeys`."""
        return None

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        return tf.where(texts == MISSING, 0, self.encode(texts))

    @property
    def fingerprint(self) -> str:
        """md5 of everything that decides an id."""
        digest = hashlib.md5(type(self).__name__.encode())
        for value in self.state():
            digest.update(
                value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            )
        return digest.hexdigest()


class ByRule(Encoder):
    """Values that a rule judges, in files and in requests; the fingerprint is that of the whole transform.

    Attributes:
        rule: its `column` is what a request has, its `refused` tells the texts that it may not have.
    """

    rule: Any

    @property
    def column(self) -> RawColumn:
        return self.rule.column

    def refused_here(self, texts: tf.Tensor) -> tf.Tensor:
        return self.rule.refused(texts)

    def state(self) -> list[Any]:
        return []
