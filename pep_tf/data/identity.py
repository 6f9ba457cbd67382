"""Which data it is, by content: what stores, runs, tickets and models carry, and compare."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pep_tf.differences import differs, one_line

PARTS = ("options", "content", "mapping", "split")
# Digests by part and name, and what to say where they differ.
_DIGESTS = {
    ("content", "labels"): "labels of {source} changed",
    ("content", "features"): "features of {source} changed",
    ("mapping", "ids"): "the ids of the features changed",
    ("split", "assignment"): "other rows in train, validation and test",
}
# Where something else differs, these follow from it and are not told.
_DERIVED = {"sizes", "ids", "assignment"}


@dataclasses.dataclass(frozen=True)
class Identity:
    """Says which data a result comes from: equal for the same content, whatever its name and place.

    Each part maps names to readable values; what was hashed stands there as a digest, and a mapping by
    field may stand for a value. What a part does not name is not known, and is not compared.

    Attributes:
        content: what the rows hold: `rows`, digests of `labels` and `features`; of made data what
            they are made from.
        mapping: how raw values become ids: encoding, hash seed, sizes of the fields, a digest.
        split: which rows are train, validation and test.
        options: what else its reader was asked for.
        source: what the content is called in a message, such as `train.txt`; not compared.
    """

    content: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    mapping: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    split: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    source: str = dataclasses.field(default="the data", compare=False)

    def difference(self, other: "Identity", parts: Sequence[str] = PARTS) -> str | None:
        """What `other` has otherwise, in one line; None where nothing that both know differs.

        Args:
            other: what is at hand; `self` is what was recorded.
            parts: the parts to compare.

        Example:
            >>> Identity(mapping={"hash seed": 0}).difference(Identity(mapping={"hash seed": 1}))
            'hash seed 0, here 1'
        """
        found = [told for part in parts for told in self._differences(part, other)]
        plain = [text for name, text in found if name not in _DERIVED]
        told = list(dict.fromkeys(plain or [text for _, text in found]))
        return one_line(told) if told else None

    def trained_otherwise(self, other: "Identity") -> str | None:
        """What keeps a model that was trained on `self` from being used with `other`, in one line.

        The mapping must be the same, and of the same rows the split: else ids mean other features, or
        rows that were trained on are tested on. Other rows under the same mapping are welcome.
        """
        same_rows = self.difference(other, ("content",)) is None
        return self.difference(other, ("mapping", "split") if same_rows else ("mapping",))

    def _differences(self, part: str, other: "Identity") -> Iterator[tuple[str, str]]:
        """(name, what to say) of each value that differs."""
        own, others = getattr(self, part), getattr(other, part)
        prefix = "data content: " if part == "content" else ""
        if not own:
            return
        for name, here in others.items():
            there = own.get(name)
            digest = _DIGESTS.get((part, name))
            if digest and there is None:
                continue  # of a version that did not record it
            if there == here and _order(there) == _order(here):
                continue
            if isinstance(there, Mapping) and isinstance(here, Mapping):
                yield from ((name, prefix + text) for text in _by_field(name, there, here))
            elif digest:
                yield name, prefix + digest.format(source=self.source)
            else:
                yield name, prefix + differs(name, there, here)
            if part == "content" or name == "encoding":
                return  # what follows in this part differs because of this

    def digests(self) -> dict[str, str]:
        """An md5 of each part."""
        return {
            part: hashlib.md5(json.dumps(_plain(getattr(self, part))).encode()).hexdigest()
            for part in PARTS
        }

    def get_config(self) -> dict[str, Any]:
        """The identity as JSON-ready values."""
        return {**{part: _plain(getattr(self, part)) for part in PARTS}, "source": self.source}

    @classmethod
    def from_config(cls, config: Any) -> Self | None:
        """What `get_config` gave; None where nothing was recorded, or nothing that can be read."""
        if not isinstance(config, Mapping):
            return None
        parts = {part: config.get(part) for part in PARTS}
        known = {part: value for part, value in parts.items() if isinstance(value, Mapping)}
        return cls(**known, source=str(config.get("source", "the data"))) if known else None


def _by_field(name: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    if list(there) != list(here):
        yield f"fields {', '.join(there)}, here {', '.join(here)}"
        return
    for field, value in there.items():
        if value != here[field]:
            yield differs(f"{name} of {field}", value, here[field])


def _order(value: Any) -> Any:
    """The order of fields, which equal dicts may not share."""
    return list(value) if isinstance(value, Mapping) else None


def _plain(value: Any) -> Any:
    """Mappings as dicts, for JSON."""
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value
