"""The sets of MovieLens as GroupLens gives them out, each a declaration, with the ratings that are in it."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pep_tf.data.columns.texts import Place, Texts
from pep_tf.data.movielens.files import File
from pep_tf.data.movielens.rules import RULES, Rule
from pep_tf.errors import DataError

_YEAR = re.compile(r"\(([0-9]{4})\)\s*$")
_URL = "https://files.grouplens.org/datasets/movielens/ml-{}.zip"


@dataclasses.dataclass(frozen=True)
class Form:
    """How a set is written.

    Attributes:
        name: of the set, such as `1m`.
        rows: ratings in it.
        ratings, movies, users: its files.
        flags: of the movies, the file with the names of the genres, for each of which a movie has 0 or 1.
        rules: those that values must keep. A column of whole numbers by them is read as such.
    """

    name: str
    rows: int
    ratings: File
    movies: File
    users: File | None = None
    flags: str | None = None
    rules: Mapping[str, Rule] = dataclasses.field(default_factory=dict)

    @property
    def url(self) -> str:
        return _URL.format(self.name)

    @property
    def files(self) -> list[str]:
        """The names of its files."""
        named = [file.name for file in (self.ratings, self.users, self.movies) if file]
        return [*named, self.flags] if self.flags else named

    def read(self, folder: Path) -> tuple[pd.DataFrame, Place]:
        """Reads and joins the files.

        Returns:
            A row for each rating, in their order: its columns, those of its user, and of its movie `year`
            (empty where the title has none) and `genres`; int64, or categorical with sorted categories.
            And what tells where a row is.

        Raises:
            DataError: a file that is missing or that `File.read` refuses; a rating of an unknown user or
                movie; a user or movie that comes twice.
        """
        if missing := [name for name in self.files if not (folder / name).is_file()]:
            inner = next(folder.glob(f"*/{self.ratings.name}"), None)
            raise DataError(
                f"{folder} must be a folder with {', '.join(self.files)} ({self.url}, unpacked). Missing: "
                f"{', '.join(missing)}.{f' Is {str(inner.parent)!r} meant?' if inner else ''}"
            )
        columns = self.ratings.read(folder, self.rules)
        place = columns["user"].place
        if self.users:
            columns |= _joined(
                columns["user"], self.users.read(folder, self.rules), self.users.name
            )
        columns |= _joined(columns["movie"], self._movies(folder), self.movies.name)
        frame = {name: _values(texts, self.rules.get(name)) for name, texts in columns.items()}
        return pd.DataFrame(frame), place

    def check_rows(self, frame: pd.DataFrame, source: object) -> None:
        """Refuses a table that is not all of the set, such as one cut at the end of a line."""
        if len(frame) != self.rows:
            raise DataError(
                f"{source} must hold the {self.rows:,} ratings of movielens-{self.name}; it may be "
                f"truncated, get it again from {self.url}. Received: {len(frame):,}"
            )

    def _movies(self, folder: Path) -> dict[str, Texts]:
        file, genres = self.movies, []
        if self.flags:
            lines = (folder / self.flags).read_text("latin-1").split("\n")
            genres = [line.partition("|")[0] for line in lines if line]
            file = dataclasses.replace(file, columns=(*file.columns, *genres))
        table = file.read(folder, self.rules)
        titles = table.pop("title")
        found = [_YEAR.search(title.decode()) for title in titles.distinct]
        years = [match[1].encode() if match else b"" for match in found]
        if genres:
            flags = [
                np.array(texts.distinct)[texts.codes] == b"1" for texts in map(table.pop, genres)
            ]
            joined = [
                "|".join(name for name, own in zip(genres, row, strict=True) if own).encode()
                for row in zip(*flags, strict=True)
            ]
            table["genres"] = Texts("genres", joined, np.arange(len(joined)), titles.place)
        year = dataclasses.replace(titles, name="year", distinct=years)
        return {"movie": table["movie"], "year": year, "genres": table["genres"]}


def _joined(key: Texts, table: dict[str, Texts], file: str) -> dict[str, Texts]:
    """The columns of a table beside the ratings, but for its key."""
    own = table.pop(key.name)
    _, first = np.unique(own.codes, return_index=True)
    if len(first) < len(own.codes):
        row = int(np.setdiff1d(np.arange(len(own.codes)), first)[0])
        text = own.distinct[own.codes[row]].decode()
        earlier = own.place(int(np.argmax(own.codes == own.codes[row]))).rpartition(", ")[2]
        raise DataError(
            f"`{key.name}` must be each once. Received: {text!r} in {own.place(row)}, which {earlier} has too"
        )
    rows = {own.distinct[code]: row for row, code in enumerate(own.codes)}
    found = np.array([rows.get(text, -1) for text in key.distinct])
    if (found < 0).any():
        raise key.error(found < 0, f"a {key.name} of {file}")
    places = found[key.codes]
    return {n: dataclasses.replace(t, codes=t.codes[places]) for n, t in table.items()}


def _values(texts: Texts, rule: Rule | None) -> np.ndarray | pd.Categorical:
    if rule and rule.largest is not None:
        return np.array([int(text) for text in texts.distinct], np.int64)[texts.codes]
    # A million codes are sorted, not a million texts.
    written = np.array([text.decode() for text in texts.distinct], object)
    places, values = pd.factorize(written, sort=True)
    return pd.Categorical.from_codes(places[texts.codes], pd.Index(values))


_RATED = ("user", "movie", "rating", "timestamp")
_RATINGS = File("ratings.dat", _RATED, "::")
_MOVIES = File("movies.dat", ("movie", "title", "genres"), "::")
_CSV = (
    File("ratings.csv", {"userId": "user", "movieId": "movie", "rating": "rating"}),
    File("movies.csv", {"movieId": "movie", "title": "title", "genres": "genres"}),
)
_USERS = File("users.dat", ("user", "gender", "age", "occupation", "zip"), "::")

ONE_MILLION = Form("1m", 1_000_209, _RATINGS, _MOVIES, _USERS, rules=RULES)
FORMS = {
    f"movielens-{form.name}": form
    for form in (
        Form(
            "100k",
            100_000,
            File("u.data", (*_RATED[:3], ""), "\t"),
            File("u.item", ("movie", "title", "", "", ""), "|"),
            File("u.user", ("user", "age", "gender", "occupation", "zip"), "|"),
            flags="u.genre",
        ),
        Form(
            "10m",
            10_000_054,
            dataclasses.replace(_RATINGS, encoding="utf-8"),
            dataclasses.replace(_MOVIES, encoding="utf-8"),
        ),
        Form("20m", 20_000_263, *_CSV),
        Form("25m", 25_000_095, *_CSV),
        Form("32m", 32_000_204, *_CSV),
    )
}
