"""The rows of a table, by a declaration: a table in memory, or files, larger than memory perhaps.

Files are read three times, batch by batch: for labels and splits; for what the training rows show to
the kinds that learn from them; and for the ids. What is kept of a row is a byte (8 more for the moment
while rows are split by time or at random), and of a column its vocabulary.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pep_tf.data.columns.declaration import Declaration, TableRows, constant, encode
from pep_tf.data.columns.labels import Drop
from pep_tf.data.columns.learn import Learner
from pep_tf.data.columns.splits import split_places, split_values
from pep_tf.data.columns.table_files import TableFiles
from pep_tf.data.columns.texts import Place, row_of_frame
from pep_tf.data.columns.transform import ColumnTransform, column_of
from pep_tf.data.dataset import CTRData, assignment
from pep_tf.data.held import held
from pep_tf.data.identity import Identity
from pep_tf.data.row_digest import RowDigest
from pep_tf.data.split import random_split
from pep_tf.data.store.assign import SPLITS, assign_rows
from pep_tf.data.store.deal import RowBlock
from pep_tf.data.store.manifest import Stamp, stamp
from pep_tf.errors import DataError

SAMPLE = 1_000_000  # training rows of files that a kind with `by_sample` learns from


@dataclasses.dataclass(frozen=True)
class Frame:
    """A table in memory, with the members of `TableFiles` that it needs.

    Attributes:
        frame: the rows.
        place: tells where a row is.
        source: what the table is, for messages.
    """

    frame: pd.DataFrame
    place: Place
    source: str
    paths: Sequence[pathlib.Path] = ()

    @property
    def names(self) -> list[str]:
        return list(self.frame.columns)

    def check(self, columns: Sequence[str]) -> None:
        for name in columns:
            column_of(self.frame, name)

    def frames(self, columns: Sequence[str]) -> Iterator[tuple[pd.DataFrame, Place]]:
        del columns
        yield self.frame, self.place


class Table:
    """The rows of a table, by a declaration."""

    def __init__(self, table: TableFiles | Frame, declared: Declaration, name: str) -> None:
        self._table, self._declared, self._name = table, declared, name
        self._in_memory: TableRows | None = None
        self.stamps: dict[str, Stamp] = {}

    def _read(
        self, features: bool = False, learning: bool = False, drop: Drop | None = None
    ) -> Iterator[tuple[int, int, TableRows]]:
        """Yields rows read before, rows kept before, and the next rows that are kept."""
        if self._in_memory:
            yield 0, 0, self._in_memory
            return
        at_once = isinstance(self._table, Frame)
        declared, names, drop = self._declared, self._table.names, drop or Drop(self._declared.drop)
        fields = [
            f for f in declared.features if features or at_once or (learning and f.encoder.learns)
        ]
        columns = [*declared.others(names), *(field.column for field in fields)]
        read = kept = 0
        for frame, place in self._table.frames(list(dict.fromkeys(columns))):
            rows = declared.read(frame, place, drop, fields)
            self._in_memory = rows if at_once else None
            if len(rows.numbers):
                yield read, kept, rows
            read, kept = read + len(frame), kept + len(rows.numbers)
        self._rows_read = read

    @functools.cached_property
    def _places(self) -> np.ndarray:
        """The place in `SPLITS` of each row that is kept, uint8 [n]."""
        declared, drop = self._declared, Drop(self._declared.drop)
        declared.check_names(self._table.names)
        self._table.check(declared.columns(self._table.names))  # before a row is read
        self.stamps = {stamped(path): stamp(path) for path in self._table.paths}
        values, labels, places = [], [], []
        for _, _, rows in self._read(drop=drop):
            values.append(split_values(rows.frame, declared.split, declared.seed, rows.place))
            places.append(rows.place)
            counts = True if rows.weights is None else rows.weights > 0
            labels.append(np.where(counts, rows.labels, 2).astype(np.uint8))
        drop.check()
        if not labels:
            raise DataError(
                f"{self._table.source} must have rows. Received: none, of {self._rows_read} before `drop`"
            )
        joined = np.concatenate(labels)
        own = (declared.split, np.concatenate(values), len(joined), declared.seed)
        found = split_places(*own, places[0] if len(places) == 1 else row_of_frame)
        table = np.bincount(found * np.uint8(3) + joined, minlength=9).reshape(3, 3)
        counted = {name: int(table[s, :2].sum()) for s, name in enumerate(SPLITS)}
        declared.check_classes(counted, {name: int(table[s, 1]) for s, name in enumerate(SPLITS)})
        return found

    @functools.cached_property
    def _learners(self) -> dict[str, Learner]:
        learning = [field for field in self._declared.features if field.encoder.learns]
        learners = {field.name: Learner(field) for field in self._declared.features}
        places = self._places
        sample = len(places) if isinstance(self._table, Frame) else SAMPLE
        share = min(1.0, sample / int(np.count_nonzero(places == 0)))
        for _, kept, rows in self._read(learning=True) if learning else ():
            train = places[kept : kept + len(rows.numbers)] == 0
            order = assign_rows(kept + np.arange(len(train)), self._declared.seed)[1]
            sampled = train & (order >> np.uint64(11) <= np.uint64(share * 2**53))
            for field in learning:
                own = sampled if field.encoder.by_sample and share < 1 else train
                learners[field.name].add(rows.columns[field.column], own)
        return learners

    @functools.cached_property
    def _transform(self) -> ColumnTransform:
        return self._declared.fit(self._learners)

    def _blocks(self) -> Iterator[RowBlock]:
        """The third pass.

        Raises:
            DataError: a field that is the same in all training rows; a file that has changed.
        """
        declared, places, transform = self._declared, self._places, self._transform
        self._digest, self._clicks = RowDigest(), 0
        self._examples: dict[str, np.ndarray] = {}
        one_value: dict[str, np.ndarray] = {}
        varied: set[str] = set()
        for read, kept, rows in self._read(features=True):
            split = places[kept : kept + len(rows.numbers)]
            ids = []
            for field in declared.features:
                ids.append(encode(transform.encoders[field.name], rows.columns[field.column]))
                own = ids[-1][split == 0]
                if len(own) and field.name not in varied:
                    first = one_value.setdefault(field.name, own[0])
                    varied.update({field.name} if (own != first).any() else ())
            if not kept:
                two = np.arange(min(2, len(rows.numbers)))
                self._examples = {name: t.of_rows(two) for name, t in rows.columns.items()}
            numbers, order = read + rows.numbers, kept + np.arange(len(split))
            self._digest += RowDigest.of(numbers, rows.content(), rows.labels)
            self._clicks += int(rows.labels.sum())
            order = assign_rows(order, declared.seed)[1]
            labels = rows.labels.astype(np.uint8)
            yield RowBlock(numbers, split, order, labels, np.concatenate(ids, axis=1), rows.weights)
        for field in declared.features:
            if field.name not in varied:
                raise constant(field.name, int(np.count_nonzero(places == 0)))
        for path in self._table.paths:
            if stamp(path) != self.stamps[stamped(path)]:
                raise DataError(f"{path}: has changed since it was read; start again.")

    def held(self) -> CTRData:
        """All rows in memory."""
        places, declared = self._places, self._declared
        rows = [np.flatnonzero(places == s) for s in range(len(SPLITS))]
        if isinstance(declared.split, str) and declared.split == "random":  # as they were drawn
            rows = list(random_split(len(places), declared.seed))
        schema = self._transform.schema
        splits = held(self._blocks(), rows, schema.is_float)
        own = (self._details, self._transform, self._examples)
        known = self._identity(split={**declared.split_by, "assignment": assignment(splits)})
        return CTRData(self._name, schema, *splits, *own, known)

    @property
    def _details(self) -> dict[str, Any]:
        rows = len(self._places)
        return self._declared.details(
            self._table.source, self._rows_read, rows, self._clicks / rows
        )

    def _identity(self, **parts: Any) -> Identity:
        return Identity(
            content=self._digest.digests(),
            mapping={"kinds": self._declared.kinds},
            source=self._table.source,
            **parts,
        )


def stamped(path: pathlib.Path) -> str:
    """The name of a file among the stamps."""
    return f"raw {path}"
