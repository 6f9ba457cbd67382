"""The kinds of columns by their names, and how a feature is declared."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from pep_tf.data.columns.categories import Hash, Limits, Vocabulary
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
        argument: N of `hash:N` and `bins:N`; `Limits` of a vocabulary; of `multi` separator, combiner,
            kind of its values and the argument of that.
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
            and `multi:|:sqrtn`: the sum, that over the root of their number). `vocabulary:min=5:max=1000`
            takes values of 5 training rows or more, and of these the 1,000 most frequent; a bag has
            either this or `hash:N` behind it: `multi:|:hash:1000`, `multi:|:sum:min=5`.

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
    elif kind == "vocabulary":
        argument = _limits(name, rest)
    elif kind == "multi":
        argument = _bag(name, rest)
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


def _limits(name: str, rest: str) -> Limits:
    """Of `min=5`, `max=1000` or both with a colon between them."""
    found = dict(part.partition("=")[::2] for part in rest.split(":")) if rest else {}
    if wrong := set(found) - set(Limits._fields):
        raise DataError(
            f"`{name}` must be 'vocabulary', or such as vocabulary:min=5:max=1000, the training rows that "
            f"a value is in and the number of values. Received: {min(wrong)!r} in it"
        )
    least = {key: whole(f"{key} of {name}", value, least=1) for key, value in found.items()}
    return Limits(**least)


def _bag(name: str, rest: str) -> tuple[str, str, type[Encoder], Any]:
    """Of `|`, then perhaps a combiner, then perhaps `hash:N` or the limits of a vocabulary."""
    separator, colon, options = rest[:1], rest[1:2], rest[2:]
    combiner, _, values = options.partition(":")
    if combiner not in COMBINERS:
        combiner, values = "mean", options
    hashed = values.startswith("hash:")
    text = separator.encode(errors="ignore")  # nothing of half a character
    if not text or colon not in ("", ":") or (values and not hashed and "=" not in values):
        raise DataError(
            f"`{name}` must be multi:SEPARATOR of one character, such as multi:|, perhaps with one of "
            f"{', '.join(COMBINERS)} and hash:N or limits: multi:|:sum:hash:1000. Received: "
            f"'multi:{rest}'"
        )
    if hashed:
        return separator, combiner, Hash, whole(f"N of hash:N for {name}", values[5:], least=2)
    return separator, combiner, Vocabulary, _limits(name, values)
