"""MovieLens: raw values are served with the ids of files that hold them, or refused by both."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.data.movielens import FEATURES
from pep_tf.data.movielens.forms import ONE_MILLION
from pep_tf.data.movielens.paper import rated_data, time_bucket
from pep_tf.data.raw import UNKNOWN
from pep_tf.errors import DataError
from tests.export.served import REFUSED, Served

USERS = [f"{u}::{'FM'[u % 2]}::{18 + u}::{u % 3}::{'0' * (u % 2)}{100 + u}" for u in range(1, 5)]
MOVIES = [f"{m}::Film {m} ({1990 + m})::{('Drama', 'Comedy|Drama')[m % 2]}" for m in range(1, 5)]
RATINGS = [
    f"{u}::{m}::{1 + u % 5}::{900_000_000 + 97 * u + m}" for u in range(1, 5) for m in range(1, 5)
]
ROW = {
    "user": 1,
    "movie": 1,
    "year": 1991,
    "gender": "M",
    "age": 19,
    "occupation": 1,
    "zip": "0101",
    "genres": "Comedy|Drama",
    "timestamp": 900_000_098,
}


@dataclasses.dataclass
class Movies:
    served: Served
    folder: Path
    vocabularies: dict[str, list]

    def read(self, users: list[str], movies: list[str], ratings: list[str]):
        for name, lines in zip(ONE_MILLION.files, (ratings, users, movies), strict=True):
            text = "".join(line + "\n" for line in lines)
            (self.folder / name).write_bytes(text.encode("latin-1"))
        return ONE_MILLION.read(self.folder)[0]

    def trained(self, column: str, value: int | bytes) -> np.ndarray | str:
        """The ids of a rating in files that hold a value, none for the signs of a missing one."""
        ids = np.array([self.place(field, ROW) for field in self.vocabularies])
        at = list(self.vocabularies).index("time_bucket" if column == "timestamp" else column)
        if value in (-1, b""):
            ids[at] = UNKNOWN
            return ids
        try:
            text = value.decode() if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError:
            return REFUSED
        if "\r" in text:
            return REFUSED  # which ends a line of Windows
        # A file has latin-1 text: other letters are like any that training has not seen.
        row = {**ROW, column: text.encode("latin-1", "replace").decode("latin-1")}
        title = f"Film ({int(text):04d})" if column == "year" else "Film (1991)"
        try:
            frame = self.read(
                ["{user}::{gender}::{age}::{occupation}::{zip}".format(**row)],
                ["{movie}::".format(**row) + title + "::{genres}".format(**row)],
                ["{user}::{movie}::4::{timestamp}".format(**row)],
            )
        except DataError:
            return REFUSED
        known = row[column] == text
        ids[at] = self.place(list(self.vocabularies)[at], frame.iloc[0]) if known else UNKNOWN
        return ids

    def place(self, field: str, row) -> int:
        known = self.vocabularies[field]
        if field == "time_bucket":
            first = 900_000_098
            times = np.array([first, max(first, int(row["timestamp"]))])
            return max(0, int(np.searchsorted(known, time_bucket(times)[1], side="right")) - 1)
        return known.index(row[field]) if row[field] in known else UNKNOWN


@pytest.fixture(scope="module")
def movies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movielens")
    movies = Movies(None, folder, {})
    frame = movies.read(USERS, MOVIES, RATINGS)
    data = rated_data(frame, FEATURES["with_ids"], name="few", seed=0, details={})
    frame["time_bucket"] = time_bucket(frame["timestamp"].to_numpy())
    kept = frame[frame["rating"] != 3]
    movies.vocabularies = {f: sorted(kept[f].unique().tolist()) for f in FEATURES["with_ids"]}
    movies.served = Served.of(data.transform, folder / "export")
    return movies


lines = st.one_of(
    st.sampled_from(
        [
            "0101",
            "Comedy|Drama",
            "Drama",
            "M",
            "F",
            "m",
            "Drama|Comedy",
            "Drama,Comedy",
            "a::b",
            "a:b",
            ":a",
            "a:",
            " ",
            "\t\x85\xa0",
            "a\rb",
            "nan",
            "\u017d",
            "é",
            "0",
        ]
    ).map(str.encode),
    st.text("ab:| \t\n\x85\xa0\0\x1c", max_size=6).map(str.encode),
    st.text(max_size=6).map(str.encode),
    st.binary(max_size=6),
)
whole = st.one_of(
    st.integers(-3, 6),
    st.integers(1985, 2000),
    st.sampled_from(
        [9999, 10_000, -(2**63), 2**63 - 1, 2**31, 900_000_000, 900_000_097, 900_000_105, 10**12]
    ),
    st.integers(-(2**63), 2**63 - 1),
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from([n for n, v in ROW.items() if isinstance(v, str)]), lines),
            st.tuples(st.sampled_from([n for n, v in ROW.items() if isinstance(v, int)]), whole),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_movielens(movies, drawn):
    movies.served.check(ROW, [(c, v, movies.trained(c, v)) for c, v in drawn])


def test_movielens_values_that_no_file_may_hold_are_told(movies):
    for column, value, words in (
        ("user", -2, "a whole number from 0, or -1 where it is missing. Received: `-2` in row 1"),
        ("year", 10_000, "a year from 0 to 9999, or -1 where it is missing. Received: `10000`"),
        ("gender", b"X", "F or M, or empty where it is missing. Received: `X`"),
        (
            "genres",
            b"\xff",
            "UTF-8 text that is not empty, on one line and without ::, or empty .*: `\ufffd`",
        ),
    ):
        raw = {name: [v, v] for name, v in ROW.items()}
        raw[column][1] = value
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{column}` must be {words}"):
            movies.served(raw)
