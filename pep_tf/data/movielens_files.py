"""Reads the original files of MovieLens-1M: `ratings.dat`, `users.dat`, `movies.dat`.

Lines of latin-1 text whose parts are separated by `::`, as the README of the data set
(files.grouplens.org/datasets/movielens/ml-1m-README.txt) describes them:

    ratings.dat   UserID::MovieID::Rating::Timestamp
    users.dat     UserID::Gender::Age::Occupation::Zip-code
    movies.dat    MovieID::Title (Year)::Genre|Genre|...

The million lines of `ratings.dat` are parsed by pandas, block by block; only where that fails are
they read one by one, to name the line at fault.
"""

import dataclasses
import hashlib
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pep_tf.data.movielens_values import GENDER, GENDER_WORDS, TEXT, TEXT_WORDS
from pep_tf.errors import DataError

NUM_RATINGS, NUM_USERS, NUM_MOVIES = 1_000_209, 6_040, 3_883
FILES = ("ratings.dat", "users.dat", "movies.dat")
_BLOCK_BYTES = 1 << 20
_YEAR = re.compile(r".*\(([0-9]{4})\)", re.DOTALL)
_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\xef\xbb\xbf": "UTF-8"}


def read_files(folder: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Reads and joins the three files.

    Args:
        folder: where the three files are.

    Returns:
        A row for each line of `ratings.dat`, in its order: user, movie, rating, timestamp (int64,
        seconds) and gender, age, occupation, zip, year, genres (categorical, categories sorted);
        and the md5 of each file by its name.

    Raises:
        DataError: a file is missing, empty, truncated or not latin-1 text; a line is malformed
            (the message names file, line and what was expected); a rating is of an unknown user or
            movie; a user or movie comes twice.
    """
    _check_files(folder)
    ratings_file, users_file, movies_file = (_TextFile.read(folder / name) for name in FILES)
    users = _parse_table(users_file, _USER)
    movies = _parse_table(movies_file, _MOVIE)
    ratings = parse_ratings(ratings_file)
    user_rows = _find(ratings["user"], users, users_file.path, ratings_file)
    movie_rows = _find(ratings["movie"], movies, movies_file.path, ratings_file)
    md5 = {f.path.name: f.md5 for f in (ratings_file, users_file, movies_file)}
    return join(ratings, (users, user_rows), (movies, movie_rows)), md5


def join(ratings: pd.DataFrame, *tables: tuple[pd.DataFrame, np.ndarray]) -> pd.DataFrame:
    """Puts the columns of other tables, but for their keys, beside n ratings.

    Args:
        ratings: n rows.
        tables: pairs of a table, whose first column is its key, and the row of it that belongs to
            each rating, int [n].

    Returns:
        n rows; the joined columns are categorical with sorted categories: a million codes are
        joined, not a million strings to be compared and sorted once more.
    """
    joined = [
        table.iloc[:, 1:].astype("category").take(rows).reset_index(drop=True)
        for table, rows in tables
    ]
    return pd.concat([ratings, *joined], axis=1)


def check_complete(frame: pd.DataFrame, source: str) -> None:
    """Refuses a table that is not all of MovieLens-1M, such as one cut at the end of a line.

    Raises:
        DataError: there are not 1,000,209 ratings by 6,040 users.
    """
    found = (len(frame), frame["user"].nunique())
    if found != (NUM_RATINGS, NUM_USERS):
        raise DataError(
            f"{source} must hold all of MovieLens-1M, {NUM_RATINGS:,} ratings by {NUM_USERS:,} "
            "users; it may be truncated, get it again from "
            "https://files.grouplens.org/datasets/movielens/ml-1m.zip. "
            f"Received: {found[0]:,} ratings by {found[1]:,} users"
        )


def _check_files(folder: Path) -> None:
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        inner = folder / "ml-1m"
        hint = f" Is {str(inner)!r} meant?" if (inner / FILES[0]).is_file() else ""
        raise DataError(
            f"{folder} must be a folder with the MovieLens-1M files {', '.join(FILES)} "
            "(https://files.grouplens.org/datasets/movielens/ml-1m.zip). "
            f"Missing: {', '.join(missing)}.{hint}"
        )


@dataclasses.dataclass(frozen=True)
class _TextFile:
    """The bytes of a file that is sure to be non-empty text of complete lines."""

    path: Path
    data: bytes
    md5: str

    @classmethod
    def read(cls, path: Path) -> "_TextFile":
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} must be readable. Received: {error.strerror}") from error
        if not data:
            raise DataError(f"{path} must hold lines of text. Received: an empty file")
        for mark, encoding in _BYTE_ORDER_MARKS.items():
            if data.startswith(mark):
                raise DataError(
                    f"{path} must be encoded as latin-1, as MovieLens-1M comes. "
                    f"Received: the byte-order mark of {encoding}"
                )
        md5 = hashlib.md5(data).hexdigest()
        file = cls(path, data.replace(b"\r\n", b"\n") if b"\r\n" in data else data, md5)
        file._check_text()
        return file

    def _check_text(self) -> None:
        if (nul := self.data.find(b"\0")) >= 0:
            line = self.data.count(b"\n", 0, nul) + 1
            raise self.error(line, "latin-1 text", "a NUL byte; the file is binary or UTF-16")
        if not self.data.endswith(b"\n"):
            found = f"{self.lines()[-1][:80]!r} and the end of the file, which seems truncated"
            raise self.error(len(self.lines()), "a line break at the end of the line", found)

    def lines(self) -> list[str]:
        """The lines, without their ends. `str.splitlines` would also split at latin-1's x85."""
        lines = self.data.decode("latin-1").split("\n")
        return lines[:-1] if lines[-1] == "" else lines

    def error(self, line: int, expected: str, found: str) -> DataError:
        return DataError(f"{self.path}, line {line}: expected {expected}. Received: {found}")


@dataclasses.dataclass(frozen=True)
class _Part:
    """A part of a line: its name and its parser, whose ValueError says what was expected."""

    name: str
    parse: Callable[[str], Any]


def _integer(text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) >= 2**63:
        raise ValueError("a whole number in digits 0-9")
    return int(text)


def _rating(text: str) -> int:
    if re.fullmatch("0*[1-5]", text) is None:
        raise ValueError("a whole number from 1 to 5")
    return int(text)


def _gender(text: str) -> str:
    if re.fullmatch(GENDER, text) is None:
        raise ValueError(GENDER_WORDS)
    return text


def _text(text: str) -> str:
    if re.fullmatch(TEXT, text) is None:
        raise ValueError(TEXT_WORDS)
    return text


def year_of(title: str) -> int:
    """The year at the end of a title such as `Heat (1995)`; ValueError if there is none."""
    match = _YEAR.fullmatch(title.rstrip())
    if match is None:
        raise ValueError("a title that ends with its year, as in 'Heat (1995)'")
    return int(match[1])


_RATING = (
    _Part("user", _integer),
    _Part("movie", _integer),
    _Part("rating", _rating),
    _Part("timestamp", _integer),
)
_USER = (
    _Part("user", _integer),
    _Part("gender", _gender),
    _Part("age", _integer),
    _Part("occupation", _integer),
    _Part("zip", _text),
)
_MOVIE = (_Part("movie", _integer), _Part("year", year_of), _Part("genres", _text))


def _parse_line(file: _TextFile, number: int, line: str, parts: Sequence[_Part]) -> list[Any]:
    texts = line.split("::")
    if len(texts) != len(parts):
        names = "::".join(part.name for part in parts)
        found = f"{len(texts)} parts in {line[:80]!r}"
        raise file.error(number, f"{len(parts)} parts, {names}", found)
    values = []
    for part, text in zip(parts, texts, strict=True):
        try:
            values.append(part.parse(text))
        except ValueError as error:
            raise file.error(number, f"{part.name} to be {error}", repr(text[:80])) from None
    return values


def _parse_lines(
    file: _TextFile, parts: Sequence[_Part], lines: Sequence[str], first: int = 1
) -> pd.DataFrame:
    """Parses lines one by one; `first` is the number of the first."""
    rows = [_parse_line(file, i, line, parts) for i, line in enumerate(lines, first)]
    return pd.DataFrame(rows, columns=[part.name for part in parts])


def _parse_table(file: _TextFile, parts: Sequence[_Part]) -> pd.DataFrame:
    """Parses users or movies, whose first part is the key."""
    table, key = _parse_lines(file, parts, file.lines()), parts[0].name
    repeated = table[key].duplicated()
    if repeated.any():
        row = int(repeated.argmax())
        value = table[key].iloc[row]
        first = int((table[key] == value).argmax()) + 1
        raise file.error(row + 1, f"each {key} once", f"{key} {value}, which line {first} has too")
    return table


def parse_ratings(file: _TextFile) -> pd.DataFrame:
    """Parses `ratings.dat`: a sound block at once, another line by line up to its error."""
    start, line, blocks = 0, 1, []
    while start < len(file.data):
        end = file.data.find(b"\n", start + _BLOCK_BYTES) + 1 or len(file.data)
        block = file.data[start:end]
        ratings = _parse_ratings_fast(block)
        if ratings is None:
            lines = block.decode("latin-1").split("\n")[:-1]
            ratings = _parse_lines(file, _RATING, lines, line)
        blocks.append(ratings)
        start, line = end, line + len(ratings)
    return pd.concat(blocks, ignore_index=True)


def _parse_ratings_fast(data: bytes) -> pd.DataFrame | None:
    """Sound ratings, or None when anything about them is unusual."""
    if data.translate(None, b"0123456789:\n"):
        return (
            None  # so that pandas sees no comma, quote, sign or blank that it would make sense of
        )
    try:
        ratings = pd.read_csv(
            io.BytesIO(data.replace(b"::", b",")),
            header=None,
            index_col=False,
            dtype=np.int64,
            skip_blank_lines=False,
        )
    except (ValueError, OverflowError):  # pandas's own parser errors are ValueErrors
        return None
    if ratings.shape != (data.count(b"\n"), len(_RATING)):
        return None
    ratings.columns = pd.Index([part.name for part in _RATING])
    return ratings if ratings["rating"].between(1, 5).all() else None


def _find(ids: pd.Series, table: pd.DataFrame, path: Path, file: _TextFile) -> np.ndarray:
    """The row of `table` (read from `path`) for each id of a ratings column."""
    key = str(table.columns[0])
    rows = pd.Index(table[key]).get_indexer(pd.Index(ids))
    if (rows < 0).any():
        line = int((rows < 0).argmax())
        raise file.error(line + 1, f"a {key} of {path.name}", f"{key} {ids.iloc[line]}")
    return rows
