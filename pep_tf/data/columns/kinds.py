"""The kinds of columns by their names, and how a feature is declared."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from pep_tf.data.columns.categories import Hash, Vocabulary
from pep_tf.data.columns.encoder import Encoder
from pep_tf.data.columns.quantities import Bins, LogInteger
from pep_tf.data.columns.times import Hour, Weekday
from pep_tf.errors import DataError
from pep_tf.numbers import whole

KINDS: dict[str, type[Encoder]] = {
    "vocabulary": Vocabulary,
    "hash": Hash,
    "integer": LogInteger,
    "bins": Bins,
    "hour": Hour,
    "weekday": Weekday,
}
_NUMBERED = ("hash", "bins")  # declared as `kind:N`
_KNOWN = "vocabulary, hash:N, integer, bins:N, hour:COLUMN, weekday:COLUMN"
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
        number: N of `hash:N` and `bins:N`.
    """

    name: str
    declared: str
    kind: str
    column: str
    number: int | None = None

    @property
    def encoder(self) -> type[Encoder]:
        return KINDS[self.kind]


def read_features(features: Any) -> tuple[Feature, ...]:
    """Reads `{field: kind}`.

    Args:
        features: by the name of each field its kind: `vocabulary`, `hash:N`, `integer` or `bins:N` of
            the column of that name, or `hour` and `weekday`, which may read another: `hour:time`.

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
    number, column = None, name
    if kind in _NUMBERED:
        number = whole(f"N of {kind}:N for {name}", rest, least=2)
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
    return Feature(name, declared, kind, column, number)
