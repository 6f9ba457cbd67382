"""The other forms of MovieLens, on small files written as GroupLens writes them."""

import dataclasses

import numpy as np
import pytest

from pep_tf.data import DATA_SETS, load
from pep_tf.data.movielens import load as movielens
from pep_tf.data.movielens.forms import FORMS
from pep_tf.errors import DataError

ROWS = 120
GENRES = ("Action", "Drama", "War")


def rated(row: int) -> tuple[int, int, float, int]:
    return row % 7 + 1, row % 5 + 1, (row * 5 % 9 + 1) / 2, 978_300_000 + 4000 * row


def write(folder, name: str):
    csv, half = name.endswith(("20m", "25m", "32m")), name != "movielens-100k"
    mark = {"movielens-100k": "\t", "movielens-10m": "::"}.get(name, ",")
    ratings = ["userId,movieId,rating,timestamp"] if csv else []
    for row in range(ROWS):
        user, movie, stars, time = rated(row)
        stars = f"{stars}" if half else f"{int(stars + 0.5)}"
        ratings.append(mark.join([str(user), str(movie), stars, str(time)]))
    titles = {1: "Heat (1995)", 2: "Se7en: a: film (1995)", 3: "Amélie, or so (2001)", 4: "Nothing"}
    titles[5] = "M*A*S*H (1970) "
    genres = {1: "Action|Drama", 2: "Drama", 3: "War", 4: "Action", 5: "Drama|War"}
    if name == "movielens-100k":
        flags = {m: ["01"[genre in genres[m].split("|")] for genre in GENRES] for m in genres}
        movies = [f"{m}|{t}|01-Jan-1995||url|{'|'.join(flags[m])}" for m, t in titles.items()]
        files = {
            "u.data": ratings,
            "u.item": movies,
            "u.user": [f"{u}|{20 + u}|{'MF'[u % 2]}|writer{u % 3}|0551{u}" for u in range(1, 8)],
            "u.genre": [*(f"{genre}|{i}" for i, genre in enumerate(GENRES)), ""],
        }
    elif csv:
        movies = [f'{m},"{t}",{genres[m]}' for m, t in titles.items()]
        files = {"ratings.csv": ratings, "movies.csv": ["movieId,title,genres", *movies]}
    else:
        movies = [f"{m}::{t}::{genres[m]}" for m, t in titles.items()]
        files = {"ratings.dat": ratings, "movies.dat": movies}
    encoding = "latin-1" if name == "movielens-100k" else "utf-8"
    for file, lines in files.items():
        (folder / file).write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return folder


@pytest.fixture(params=["movielens-100k", "movielens-10m", "movielens-25m"])
def name(request, monkeypatch):
    form = dataclasses.replace(FORMS[request.param], rows=ROWS)
    monkeypatch.setitem(FORMS, request.param, form)
    monkeypatch.setitem(DATA_SETS, request.param, movielens._by_form(form))
    return request.param


def test_every_form_gives_the_rows_that_are_in_it(name, tmp_path):
    data = load(name, data_dir=write(tmp_path, name), seed=1)
    stars = np.array([rated(row)[2] for row in range(ROWS)])
    if name == "movielens-100k":
        stars = np.floor(stars + 0.5)
    kept = np.flatnonzero(stars != 3)
    numbers = np.concatenate([split.row_numbers for split in data.splits.values()])
    labels = np.concatenate([split.labels for split in data.splits.values()])
    assert sorted(numbers) == kept.tolist()
    np.testing.assert_array_equal(labels, stars[numbers] > 3)
    sizes = data.schema.size_by_name
    assert (sizes["user"], sizes["movie"], sizes["year"]) == (2 + 7, 2 + 5, 2 + 3)
    assert sizes["genres"] == {"size": 2 + 3, "width": 2, "combiner": "mean"}
    assert sizes.get("zip", 9) == 9
    assert data.details["rows_dropped"] == ROWS - len(kept)


def test_what_is_wrong_is_named_by_its_line(name, tmp_path):
    write(tmp_path, name)
    form = FORMS[name]
    path = tmp_path / form.ratings.name
    good = path.read_bytes()
    mark = b"\t" if name == "movielens-100k" else b"::" if name == "movielens-10m" else b","
    for row, message in (
        (mark.join([b"1", b"9", b"4", b"978300000"]), "`movie` must be a movie of .*'9' in .*line"),
        (mark.join([b"1", b"2", b"x", b"978300000"]), "`rating` must be a number.*'x' in .*line"),
    ):
        lines = good.split(b"\n")
        lines[50] = row
        path.write_bytes(b"\n".join(lines))
        with pytest.raises(DataError, match=f"{message} 51$"):
            load(name, data_dir=tmp_path)
    path.write_bytes(good[: len(good) // 2].rpartition(b"\n")[0] + b"\n")
    with pytest.raises(DataError, match=f"{form.ratings.name} must hold the 120 ratings of {name}"):
        load(name, data_dir=tmp_path)
    (tmp_path / form.movies.name).unlink()
    with pytest.raises(DataError, match=f"Missing: {form.movies.name}"):
        load(name, data_dir=tmp_path)


def test_the_files_must_be_there():
    with pytest.raises(DataError, match="movielens-100k needs `data_dir`: the folder with u.data"):
        load("movielens-100k")
