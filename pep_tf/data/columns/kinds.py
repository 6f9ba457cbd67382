"""The kinds of columns by their names, and how a feature is declared."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from pep_tf.data.columns.categories import Hash, Vocabulary
from pep_tf.data.columns.encoder import Encoder
from pep_tf.data.columns.multi import Multi
from pep_tf.data.columns.quantities import Bins, Float, LogInteger
from pep_tf.data.columns.times import Hour, Weekday
from pep_tf.data.schema import COMBINERS
from pep_tf.errors import DataError
from pep_tf.numbers import whole

KINDS: dict[str, type[Encoder]] = {
    "vocabulary": Vocabulary,
    "hash": Hash,
    "integer": LogInteger,
    "bins": Bins,
    "float": Float,
    "hour": Hour,
    "weekday": Weekday,
    "multi": Multi,
}
_NUMBERED = ("hash", "bins")  # declared as `kind:N`
_KNOWN = "vocabulary, hash:N, integer, bins:N, float, hour:COLUMN, weekday:COLUMN, multi:SEPARATOR"
# Names that a signature of a SavedModel keeps as they are; `self` is taken.
_SERVABLE = re.compile("(?!self$)[A-Za-z][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Feature:
    """A field and how it is made.

    Attributes:
        name: of the field.
        declared: its kind as it was declared, such as `hash:1000`.
        kind: a key of `KINDS`.
        column: the column of the table that it reads.
        argument: N of `hash:N` and `bins:N`; separator and combiner of `multi`.
    """

    name: str
    declared: str
    kind: str
    column: str
    argument: Any = None

    @property
    def encoder(self) -> type[Encoder]:
        return KINDS[self.kind]

    @property
    def separator(self) -> str | None:
        """Of a bag: what stands between its values."""
        return self.argument[0] if self.kind == "multi" else None


def read_features(features: Any) -> tuple[Feature, ...]:
    """Reads `{field: kind}`.

    Args:
        features: by the name of each field its kind: `vocabulary`, `hash:N`, `integer`, `bins:N` or `float`
            of the column of that name, or `hour` and `weekday`, which may read another: `hour:time`; or
            `multi:|`, several values with `|` between them, whose embeddings' mean is taken (`multi:|:sum`
            and `multi:|:sqrtn`: the sum, that over the root of their number).

    Raises:
        DataError: no field, an unknown kind, a number that it cannot have, a name that cannot be served.

    Example:
        >>> [f.column for f in read_features({"user": "hash:1000", "hour": "hour:time"})]
        ['user', 'time']
    """
    if not isinstance(features, Mapping) or not features:
        raise DataError(
            "`features` must be a dict of field and kind, such as {'user': 'vocabulary', 'item': "
            f"'hash:1000'}}. Received: {features!r}"
        )
    return tuple(_read(name, kind) for name, kind in features.items())


def _read(name: Any, declared: Any) -> Feature:
    kind, _, rest = str(declared).partition(":")
    if not isinstance(declared, str) or kind not in KINDS:
        raise DataError(f"`{name}` must be of a kind among {_KNOWN}. Received: {declared!r}")
    argument: Any = None
    column = name
    if kind in _NUMBERED:
        argument = whole(f"N of {kind}:N for {name}", rest, least=2)
    elif kind == "multi":
        separator, _, combiner = (rest[:1], rest[1:2], rest[2:]) if rest else ("", "", "")
        argument = (separator, combiner or "mean")
        if not separator or rest[1:2] not in ("", ":") or argument[1] not in COMBINERS:
            raise DataError(
                f"`{name}` must be multi:SEPARATOR of one character, such as multi:|, or with one of "
                f"{', '.join(COMBINERS)}: multi:|:sum. Received: {declared!r}"
            )
    elif rest and kind in ("hour", "weekday"):
        column = rest
    elif rest:
        raise DataError(f"`{name}` must be {kind!r}, with nothing after it. Received: {declared!r}")
    for part in (name, column):
        if not isinstance(part, str) or not _SERVABLE.fullmatch(part):
            raise DataError(
                "A field and its column must have a name of letters, digits and _, a letter first, by "
                f"which a served model takes them. Rename it first. Received: {part!r}"
            )
    return Feature(name, declared, kind, column, argument)
