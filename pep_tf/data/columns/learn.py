"""What the training rows show of a column, gathered block by block for the encoder of its field."""

import numpy as np

from pep_tf.data.columns.encoder import Seen
from pep_tf.data.columns.kinds import Feature
from pep_tf.data.columns.texts import MISSING, Texts
from pep_tf.data.counting import Counter
from pep_tf.errors import DataError

MAX_TEXTS = 20_000_000  # of one field: about 150 bytes each while they are counted


class Learner:
    """Counts the texts of a field; of a bag, those of its values.

    Args:
        feature: the field.

    Attributes:
        rows: how many training rows were added.
    """

    rows = 0

    def __init__(self, feature: Feature) -> None:
        self._feature = feature
        self._mark = feature.separator.encode() if feature.separator else None
        self._counts = Counter(object)
        self._widest = MISSING

    def add(self, texts: Texts, train: np.ndarray) -> None:
        """Adds rows of the table, of which those at `train`, bool [n] or places, are training rows.

        Raises:
            DataError: more different texts than are kept.
        """
        self.rows += len(texts.codes[train])
        own = np.flatnonzero(rows := np.bincount(texts.codes[train], minlength=len(texts.distinct)))
        found = [texts.distinct[place] for place in own.tolist()]
        if (mark := self._mark) is not None:
            self._widest = max(self._widest, *texts.distinct, key=lambda text: text.count(mark))
            bags = [set(text.split(mark)) for text in found]
            found = [part for bag in bags for part in bag]
            own = np.repeat(own, [len(bag) for bag in bags])
        self._counts.add(np.array(found, object), rows[own])
        if self._counts.exceeds(MAX_TEXTS):
            raise DataError(
                f"`{self._feature.name}` must have at most {MAX_TEXTS:,} different values to be "
                f"{self._feature.declared!r}. Received: more; declare it hash:N"
            )

    def seen(self, place: int) -> Seen:
        """What an encoder may know; `place` is that of the field among the fields."""
        texts, counts = self._counts.result()
        given = texts != MISSING
        texts, counts = texts[given].tolist(), counts[given]
        return Seen(self._feature.name, place, texts, counts, [self._widest])

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays, for `of`."""
        seen = self.seen(0)
        texts = [self._widest, *seen.texts]
        return {
            "texts": np.frombuffer(b"".join(texts), np.uint8),
            "lengths": np.fromiter(map(len, texts), np.int64, len(texts)),
            "counts": seen.counts,
        }

    @classmethod
    def of(cls, feature: Feature, arrays: dict[str, np.ndarray]) -> "Learner":
        """What gave these arrays."""
        learner = cls(feature)
        ends = np.cumsum(arrays["lengths"]).tolist()
        data = arrays["texts"].tobytes()
        starts = [0, *ends[:-1]]
        texts = [data[start:end] for start, end in zip(starts, ends, strict=True)]
        learner._widest = texts[0]
        learner._counts.add(np.array(texts[1:], object), arrays["counts"])
        return learner
