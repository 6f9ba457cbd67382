"""Reads files of lines whose values have a separator between them, as GroupLens writes them.

pyarrow reads the values as bytes, each text once; what is to be said of a value is said once as well.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from pep_tf.data.columns.table_files import TableFiles
from pep_tf.data.columns.texts import Texts, texts_of
from pep_tf.data.movielens.rules import Rule
from pep_tf.errors import DataError

_MARK = "\x1f"  # for separators of two characters, which pyarrow does not know
_NEVER = {
    "\0": "a NUL byte; the file is binary or UTF-16",
    "\r": "a carriage return",
    _MARK: "\\x1f",
}
_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\xef\xbb\xbf": "UTF-8"}


@dataclasses.dataclass(frozen=True)
class File:
    """A file with a table.

    Attributes:
        name: of the file; one that ends in `.csv` has a header and perhaps quotes.
        columns: their names, in order; those without a name are not read. Of a `.csv`, by the names that
            it has, those that they get.
        separator: between values.
        encoding: of the text.
    """

    name: str
    columns: tuple[str, ...] | Mapping[str, str]
    separator: str = ","
    encoding: str = "latin-1"

    def read(self, folder: Path, rules: Mapping[str, Rule] | None = None) -> dict[str, Texts]:
        """Its columns by their names.

        Args:
            folder: where it is.
            rules: those that the values of a column must keep, by its name.

        Raises:
            DataError: a file that cannot be read, is empty, truncated or not text; a line of another number
                of values; a value that breaks its rule. The message names file and line.
        """
        path = folder / self.name
        found = (
            _read_csv(path, self.columns) if isinstance(self.columns, Mapping) else self._read(path)
        )
        for name, texts in found.items():
            if rule := (rules or {}).get(name):
                bad = np.array([not rule.good(text.decode()) for text in texts.distinct])
                if bad.any():
                    raise texts.error(bad, rule.words)
        return found

    def _read(self, path: Path) -> dict[str, Texts]:
        data = _text(path).replace(b"\r\n", b"\n")
        mark = self.separator if len(self.separator) == 1 else _MARK
        for byte, found in _NEVER.items():
            if (at := data.find(byte.encode())) >= 0:
                line = data.count(b"\n", 0, at) + 1
                raise DataError(
                    f"{path}, line {line}: must be {self.encoding} text. Received: {found}"
                )
        if not data.endswith(b"\n"):
            line = data.count(b"\n") + 1
            raise DataError(
                f"{path}, line {line}: must end in a line break. Received: the end of the file, which "
                "seems truncated"
            )
        names = [name or str(place) for place, name in enumerate(self.columns)]
        wanted = [name for name in self.columns if name]
        try:
            table = pa.csv.read_csv(
                pa.py_buffer(data.replace(self.separator.encode(), mark.encode())),
                pa.csv.ReadOptions(column_names=names),
                pa.csv.ParseOptions(delimiter=mark, quote_char=False, ignore_empty_lines=False),
                pa.csv.ConvertOptions(
                    include_columns=wanted, column_types=dict.fromkeys(wanted, _BYTES)
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._width_error(path, data) or _unreadable(path, error) from error
        frame = table.to_pandas()
        return {name: self._texts(frame[name], path) for name in wanted}

    def _texts(self, column: pd.Series, path: Path) -> Texts:
        codes, values = column.cat.codes.to_numpy(np.int64), column.cat.categories
        distinct = [value.decode(self.encoding, "replace").encode() for value in values]
        return Texts(str(column.name), distinct, codes, lambda row: f"{path}, line {row + 1}")

    def _width_error(self, path: Path, data: bytes) -> DataError | None:
        """Names the first line that has not as many values as there are columns."""
        for number, line in enumerate(data.split(b"\n")[:-1], 1):
            if (found := line.count(self.separator.encode()) + 1) != len(self.columns):
                wanted = self.separator.join(name or "..." for name in self.columns)
                shown = line[:80].decode(self.encoding, "replace")
                return DataError(
                    f"{path}, line {number}: must have {len(self.columns)} values, {wanted}. "
                    f"Received: {found} in {shown!r}"
                )
        return None


_BYTES = pa.dictionary(pa.int32(), pa.binary())


def _text(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    if not data:
        raise DataError(f"{path}: must hold lines of text. Received: an empty file")
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            raise DataError(
                f"{path}: must be encoded as it came. Received: the byte-order mark of {encoding}"
            )
    return data


def _unreadable(path: Path, why: object) -> DataError:
    return DataError(f"{path}: cannot be read: {' '.join(str(why).split())}")


def _read_csv(path: Path, columns: Mapping[str, str]) -> dict[str, Texts]:
    frame, place = TableFiles(path).read(list(columns))
    return {new: texts_of(frame[name], new, place) for name, new in columns.items()}
