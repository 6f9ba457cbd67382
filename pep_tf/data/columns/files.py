"""`from_files`: tables in files, CSV, TSV or Parquet, as `CTRData`.

pyarrow reads them: CSV as bytes, so that nothing is guessed (a typed reader takes 007 for 7 and refuses
"5.0" as an integer), Parquet with the types that it has. Only the columns that are asked for are read.
"""

import csv
import dataclasses
import glob
import gzip
import itertools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pep_tf.data.columns.from_dataframe import build
from pep_tf.data.columns.kinds import read_features
from pep_tf.data.columns.labels import label_column
from pep_tf.data.columns.splits import split_column
from pep_tf.data.dataset import CTRData
from pep_tf.errors import DataError
from pep_tf.paths import resolve

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PARQUET = ".parquet"
ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", _PARQUET)


def from_files(
    files: Files,
    label: str,
    features: Mapping[str, str],
    *,
    split: Any = "random",
    weight: str | None = None,
    drop: Mapping[str, Any] | None = None,
    seed: int = 0,
    name: str | None = None,
) -> CTRData:
    """A data set of the rows of files, one after another, ready to train on and to serve.

    Args:
        files: a file, a pattern such as `clicks-*.parquet`, or several: CSV or TSV with a line of
            column names, perhaps gzipped, or Parquet. An empty value of CSV is missing.
        label, features, split, weight, drop, seed: see `from_dataframe`.
        name: of the data set; None: what the first file is called.

    Raises:
        DataError: as `from_dataframe`; a file that is missing, empty, damaged, or has other columns.

    Example:
        >>> rows = {"user": ["a", "b"] * 50, "item": range(100), "clicked": [0, 1, 1, 0] * 25}
        >>> pd.DataFrame(rows).to_csv("clicks.csv", index=False)
        >>> features = {"user": "vocabulary", "item": "hash:100000"}
        >>> from_files("clicks.csv", "clicked", features).schema.size_by_name
        {'user': 4, 'item': 100000}
    """
    paths = _paths(files)
    fields = read_features(features)
    first = _File(paths[0])
    names = first.names()
    others = [label_column(label, names), split_column(split), weight, *(drop or {})]
    needed = list(dict.fromkeys([*(f.column for f in fields), *filter(None, others)]))
    first.check(needed)
    tables = [first.read(needed)]
    for path in paths[1:]:
        file = _File(path)
        file.check(needed)
        tables.append(file.read(needed))
        _check_types(tables[0], tables[-1], paths[0], path)
    ends = np.cumsum([table.num_rows for table in tables])

    def place(row: int) -> str:
        file = int(np.searchsorted(ends, row, side="right"))
        return _File(paths[file]).place(row - int(ends[file] - tables[file].num_rows))

    return build(
        _frame(pa.concat_tables(tables)),
        label,
        features,
        split=split,
        weight=weight,
        drop=drop,
        seed=seed,
        name=name or stem_of(paths[0]),
        place=place,
        source=", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else ""),
    )


def ending_of(path: str | os.PathLike[str]) -> str | None:
    """The ending of a file that can be read, such as `.csv.gz`; None of any other."""
    return next((e for e in ENDINGS if str(path).lower().endswith(e)), None)


def stem_of(path: pathlib.Path) -> str:
    """What a file is called without its ending."""
    return path.name[: -len(ending_of(path) or "")]


def _paths(files: Files) -> list[pathlib.Path]:
    found: list[pathlib.Path] = []
    for asked in [files] if isinstance(files, str | os.PathLike) else files:
        pattern = str(resolve(asked))
        paths = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        if not paths:
            raise DataError(
                f"`files` must name files. Received: {str(asked)!r}, which none matches"
            )
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
            return self._reading(lambda: pa.parquet.read_schema(self.path).names)
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

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some of its columns."""
        table = self._reading(lambda: self._table(list(columns)))
        if not table.num_rows:
            raise DataError(f"{self.path}: holds no rows.")
        return table

    def _table(self, columns: list[str]) -> pa.Table:
        if self._is_parquet:
            return pa.parquet.read_table(self.path, columns=columns)
        return pa.csv.read_csv(
            self.path,
            parse_options=pa.csv.ParseOptions(
                delimiter=self._delimiter, newlines_in_values=True, ignore_empty_lines=False
            ),
            convert_options=pa.csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pa.binary()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )

    def place(self, row: int) -> str:
        """Where a row is, counted from 0."""
        if self._is_parquet:
            return f"row {row} of {self.path}"
        _, line = next(itertools.islice(self._records(), row + 1, None))
        return f"{self.path}, line {line}"

    def _reading(self, read: Any) -> Any:
        try:
            return read()
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
            except (csv.Error, OSError, EOFError) as error:
                raise DataError(f"{self.path}, line {line}: cannot be read: {error}") from error


def _check_types(first: pa.Table, other: pa.Table, path: pathlib.Path, at: pathlib.Path) -> None:
    for name in first.column_names:
        there, here = first.schema.field(name).type, other.schema.field(name).type
        if there != here:
            raise DataError(
                f"{at}: column {name!r} must be of type {there}, as in {path}. Received: {here}"
            )


def _frame(table: pa.Table) -> pd.DataFrame:
    """The table in pandas, of which texts are held once and no integer becomes a float."""
    texts = (pa.types.is_binary, pa.types.is_string, pa.types.is_large_string)
    for place, name in enumerate(table.column_names):
        column = table.column(name)
        if any(is_text(column.type) for is_text in texts):
            table = table.set_column(place, name, column.dictionary_encode())
    return table.to_pandas(
        types_mapper=lambda kind: None if pa.types.is_dictionary(kind) else pd.ArrowDtype(kind)
    )
