"""Files with a table, CSV, TSV or Parquet, read batch by batch in bounded memory."""

import contextlib
import csv
import dataclasses
import functools
import glob
import gzip
import itertools
import os
import pathlib
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pep_tf.data.columns.texts import Place, is_text
from pep_tf.errors import DataError
from pep_tf.paths import resolve

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PARQUET = ".parquet"
ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", _PARQUET)
_BATCH_BYTES, _BATCH_ROWS = 4 << 20, 1 << 16  # of text; of Parquet


class TableFiles:
    """The tables of files as one.

    Args:
        files: see `from_files`.

    Attributes:
        paths: of the files, in order.
        names: the columns of the first.

    Raises:
        DataError: no file, or a first file that cannot be read.
    """

    def __init__(self, files: Files) -> None:
        self.paths = paths_of(files)
        self.names = _File(self.paths[0]).names()

    @property
    def source(self) -> str:
        """The files in a few words."""
        return ", ".join(map(str, self.paths[:3])) + (", ..." if len(self.paths) > 3 else "")

    def check(self, columns: Sequence[str]) -> None:
        """Raises DataError if a file has not each of these columns once."""
        for path in self.paths:
            _File(path).check(columns)

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, Place]]:
        """Yields rows, and what tells where a row of these is.

        Raises:
            DataError: a file without rows, or without one of the columns, twice or of another type.
        """
        first: pa.Schema | None = None
        for path in self.paths:
            file, start = _File(path), 0
            file.check(columns)
            for batch in file.batches(list(columns)):
                if first is None:
                    first = batch.schema
                _check_types(first, batch.schema, self.paths[0], path)
                yield batch, functools.partial(_place_in, file, start)
                start += batch.num_rows

    def frames(self, columns: Sequence[str]) -> Iterator[tuple[pd.DataFrame, Place]]:
        """The same with the rows in pandas."""
        return ((frame_of(batch), place) for batch, place in self.batches(columns))

    def read(self, columns: Sequence[str]) -> tuple[pd.DataFrame, Place]:
        """All rows, and what tells where a row is; see `batches`."""
        batches, places = zip(*self.batches(columns), strict=True)
        ends = np.cumsum([batch.num_rows for batch in batches])

        def place(row: int) -> str:
            batch = int(np.searchsorted(ends, row, side="right"))
            return places[batch](row - int(ends[batch] - batches[batch].num_rows))

        return frame_of(pa.Table.from_batches(batches)), place


def _place_in(file: "_File", start: int, row: int) -> str:
    return file.place(start + row)


def ending_of(path: str | os.PathLike[str]) -> str | None:
    """The ending of a file that can be read, such as `.csv.gz`; None of any other."""
    return next((e for e in ENDINGS if str(path).lower().endswith(e)), None)


def stem_of(path: pathlib.Path) -> str:
    """What a file is called without its ending."""
    return path.name[: -len(ending_of(path) or "")]


def paths_of(files: Files) -> list[pathlib.Path]:
    """The files that are named, those of a pattern in order."""
    found: list[pathlib.Path] = []
    for asked in [files] if isinstance(files, str | os.PathLike) else files:
        pattern = str(resolve(asked))
        named = os.path.exists(pattern)  # `clicks[1].csv` may be a name
        is_pattern = glob.has_magic(pattern) and not named
        paths = sorted(glob.glob(pattern)) if is_pattern else [pattern]
        if not paths:
            raise DataError(f"{asked}: there is no such file.")
        found += map(pathlib.Path, paths)
    if not found:
        raise DataError("`files` must name files. Received: none")
    return found


@dataclasses.dataclass(frozen=True)
class _File:
    """A file with a table.

    Raises:
        DataError: of its methods, one that is missing, empty, damaged, or of another kind.
    """

    path: pathlib.Path

    def __post_init__(self) -> None:
        if ending_of(self.path) is None:
            raise DataError(f"{self.path}: must end in one of {', '.join(ENDINGS)}.")
        if not self.path.is_file():
            raise DataError(f"{self.path}: there is no such file.")

    @property
    def _is_parquet(self) -> bool:
        return ending_of(self.path) == _PARQUET

    @property
    def _delimiter(self) -> str:
        return _DELIMITERS[(ending_of(self.path) or "")[:4]]

    def names(self) -> list[str]:
        """The names of its columns."""
        if self._is_parquet:
            with self._reading():
                return pa.parquet.read_schema(self.path).names
        first = next(self._records(), ([], 0))[0]
        if not first:
            raise DataError(f"{self.path}: empty; line 1 must have the names of the columns.")
        return first

    def check(self, needed: Sequence[str]) -> None:
        """Refuses a file that has not each column once."""
        names = self.names()
        for name in needed:
            if (found := names.count(name)) != 1:
                known = ", ".join(names[:20])
                raise DataError(
                    f"{self.path}: must have one column {name!r}. Received: "
                    f"{f'{found} of them' if found else f'none, among {known}'}"
                )

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Some of its columns, batch by batch."""
        rows = 0
        with self._reading():
            for batch in self._batches(columns):
                rows += batch.num_rows
                if batch.num_rows:
                    yield batch
        if not rows:
            raise DataError(f"{self.path}: holds no rows.")

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        if self._is_parquet:
            with pa.parquet.ParquetFile(self.path) as file:
                yield from file.iter_batches(_BATCH_ROWS, columns=columns)
            return
        options = pa.csv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.binary()),
            strings_can_be_null=True,
            null_values=[""],
        )
        parsing = pa.csv.ParseOptions(
            delimiter=self._delimiter, newlines_in_values=True, ignore_empty_lines=False
        )
        reading = pa.csv.ReadOptions(block_size=_BATCH_BYTES)
        with pa.csv.open_csv(self.path, reading, parsing, options) as reader:
            yield from reader

    def place(self, row: int) -> str:
        """Where a row is, counted from 0."""
        if self._is_parquet:
            return f"row {row} of {self.path}"
        _, line = next(itertools.islice(self._records(), row + 1, None))
        return f"{self.path}, line {line}"

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
            if not self._is_parquet:
                self._refuse_width()
            told = " ".join(str(error).split())
            raise DataError(f"{self.path}: cannot be read: {told}") from error

    def _refuse_width(self) -> None:
        """Names the first line that has not as many values as line 1 has columns."""
        width = len(self.names())
        for values, line in self._records():
            if len(values) != width and values:
                raise DataError(
                    f"{self.path}, line {line}: must have {width} values, as line 1 has columns. "
                    f"Received: {len(values)}"
                )

    def _records(self) -> Iterator[tuple[list[str], int]]:
        """The values of each record, and the line on which it begins."""
        opened = gzip.open if str(self.path).lower().endswith(".gz") else open
        with opened(self.path, "rt", encoding="utf-8-sig", errors="replace", newline="") as text:
            reader, line = csv.reader(text, delimiter=self._delimiter), 1
            try:
                for record in reader:
                    yield record, line
                    line = reader.line_num + 1
            except (csv.Error, OSError, EOFError, zlib.error) as error:
                raise DataError(f"{self.path}, line {line}: cannot be read: {error}") from error


def _check_types(first: pa.Schema, other: pa.Schema, path: pathlib.Path, at: pathlib.Path) -> None:
    for name in first.names:
        there, here = first.field(name).type, other.field(name).type
        if there != here:
            raise DataError(
                f"{at}: column {name!r} must be of type {there}, as in {path}. Received: {here}"
            )


def frame_of(table: pa.Table | pa.RecordBatch) -> pd.DataFrame:
    """The table in pandas, of which texts are held once and no integer becomes a float."""
    columns = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        own = column.dictionary_encode() if is_text(column.type) else column
        columns[name] = pd.arrays.ArrowExtensionArray(own)
    return pd.DataFrame(columns, copy=False)
