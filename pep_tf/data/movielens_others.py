"""MovieLens in its other forms, each a short declaration over the files as GroupLens gives them out.

| data set | files | ratings |
|---|---|---|
| `movielens-100k` | `u.data`, `u.item`, `u.user`, `u.genre` | 100,000 |
| `movielens-10m` | `ratings.dat`, `movies.dat`: half stars, no users | 10,000,054 |
| `movielens-20m` | `ratings.csv`, `movies.csv`: half stars, no users | 20,000,263 |
| `movielens-25m` | the same | 25,000,095 |
| `movielens-32m` | the same | 32,000,204 |
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from pep_tf.data.columns.from_dataframe import build
from pep_tf.data.dataset import CTRData
from pep_tf.errors import DataError

_RATING = ["user", "movie", "rating"]
_YEAR = re.compile(r"\((\d{4})\)\s*$")
FEATURES = {
    "user": "vocabulary",
    "movie": "vocabulary",
    "year": "vocabulary",
    "genres": "multi:|",
}
_OF_USERS = dict.fromkeys(("gender", "age", "occupation", "zip"), "vocabulary")


@dataclasses.dataclass(frozen=True)
class Form:
    """How a data set is written.

    Attributes:
        ratings: name of the file of ratings.
        movies: name of that of the movies.
        rows: ratings in it.
        read: reads the folder: the ratings in their order, and the tables to join by their index.
        header: lines before the first rating.
    """

    ratings: str
    movies: str
    rows: int
    read: Callable[[Path, "Form"], tuple[pd.DataFrame, dict[str, pd.DataFrame]]]
    header: int = 0


def _read_100k(folder: Path, form: Form) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    ratings = _table(folder / form.ratings, "\t", [*_RATING, ""])
    genres = [line.partition("|")[0] for line in _lines(folder / "u.genre")]
    movies = {}
    for number, line in enumerate(_lines(folder / form.movies), 1):
        parts = line.split("|")
        if len(parts) != 5 + len(genres):
            raise DataError(
                f"{folder / form.movies}, line {number}: must have {5 + len(genres)} parts with | between "
                f"them. Received: {len(parts)}"
            )
        own = [name for name, flag in zip(genres, parts[5:], strict=True) if flag == "1"]
        movies[parts[0]] = (_year(parts[1]), "|".join(own))
    users = _table(folder / "u.user", "|", ["user", "age", "gender", "occupation", "zip"])
    return ratings, {"movie": _movies(movies), "user": users.set_index("user")}


def _read_10m(folder: Path, form: Form) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    # `::` is two separators with nothing between them.
    ratings = _table(folder / form.ratings, ":", ["user", "", "movie", "", "rating", "", ""])
    movies = {}
    for number, line in enumerate(_lines(folder / form.movies), 1):
        movie, *title, genres = line.split("::")
        if not title:
            raise DataError(
                f"{folder / form.movies}, line {number}: must be MovieID::Title::Genres. "
                f"Received: {line[:80]!r}"
            )
        movies[movie] = (_year("::".join(title)), genres)
    return ratings, {"movie": _movies(movies)}


def _read_csv(folder: Path, form: Form) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    ratings = _table(folder / form.ratings, ",", [*_RATING, ""], header=1)
    table = _table(folder / form.movies, ",", ["movie", "title", "genres"], header=1, quoted=True)
    rows = zip(table["movie"], table["title"], table["genres"], strict=True)
    return ratings, {"movie": _movies({m: (_year(title), genres) for m, title, genres in rows})}


FORMS = {
    "movielens-100k": Form("u.data", "u.item", 100_000, _read_100k),
    "movielens-10m": Form("ratings.dat", "movies.dat", 10_000_054, _read_10m),
    "movielens-20m": Form("ratings.csv", "movies.csv", 20_000_263, _read_csv, header=1),
    "movielens-25m": Form("ratings.csv", "movies.csv", 25_000_095, _read_csv, header=1),
    "movielens-32m": Form("ratings.csv", "movies.csv", 32_000_204, _read_csv, header=1),
}


def movielens_loader(name: str) -> Callable[..., CTRData]:
    """The loader of a key of `FORMS`, see `load`."""

    def loader(*, data_dir: Path | None, features: str, seed: int | None) -> CTRData:
        """Ratings above 3 are positive, below 3 negative, rows of exactly 3 are dropped.

        Args:
            data_dir: the unpacked folder.
            features: "paper", which stands for the fields of the declaration.
            seed: of the 80/10/10 split.

        Raises:
            DataError: files that are missing, damaged or incomplete, by their line.
        """
        if features != "paper":
            raise DataError(f"`features` of {name} must be 'paper'. Received: {features!r}")
        form = FORMS[name]
        if data_dir is None:
            raise DataError(
                f"{name} needs `data_dir`: the folder with {form.ratings}, as "
                "https://grouplens.org/datasets/movielens/ has it."
            )
        path = data_dir / form.ratings
        frame, tables = form.read(data_dir, form)
        if len(frame) != form.rows:
            raise DataError(
                f"{path} must hold the {form.rows:,} ratings of {name}. Received: {len(frame):,}"
            )

        def place(row: int) -> str:
            return f"{path}, line {row + 1 + form.header}"

        for key, table in tables.items():
            frame = _joined(frame, key, table, place)
        return build(
            frame,
            "rating > 3",
            {**FEATURES, **(_OF_USERS if "user" in tables else {})},
            split="random",
            weight=None,
            drop={"rating": 3},
            seed=seed or 0,
            name=name,
            place=place,
            source=str(data_dir),
        )

    return loader


def _joined(
    frame: pd.DataFrame, key: str, table: pd.DataFrame, place: Callable[[int], str]
) -> pd.DataFrame:
    """The ratings with the columns of a table beside them."""
    rows = table.index.get_indexer(pd.Index(frame[key]))
    if (rows < 0).any():
        row = int(np.argmax(rows < 0))
        raise DataError(
            f"`{key}` must be in the file of its kind. Received: {frame[key].iloc[row]!r} in {place(row)}"
        )
    own = table.astype("category").take(rows).reset_index(drop=True)
    return pd.concat([frame, own], axis=1)


def _table(
    path: Path, separator: str, names: Sequence[str], *, header: int = 0, quoted: bool = False
) -> pd.DataFrame:
    """A file of values, all of them text, each text held once; columns without a name are left out."""
    text = pa.dictionary(pa.int32(), pa.string())
    wanted = [name for name in names if name]
    try:
        table = pa.csv.read_csv(
            path,
            pa.csv.ReadOptions(
                column_names=[name or f"_{place}" for place, name in enumerate(names)],
                skip_rows=header,
            ),
            pa.csv.ParseOptions(
                delimiter=separator, quote_char='"' if quoted else False, ignore_empty_lines=False
            ),
            pa.csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, text)),
        )
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    return table.to_pandas()


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return [line for line in text.replace("\r\n", "\n").split("\n") if line]


def _year(title: str) -> str:
    """The year at the end of a title, as text; empty where there is none."""
    found = _YEAR.search(title)
    return found[1] if found else ""


def _movies(rows: dict[str, tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows.values(), index=pd.Index(rows), columns=["year", "genres"])
