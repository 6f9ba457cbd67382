import hashlib
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pep_tf.data import load
from pep_tf.data.movielens.forms import ONE_MILLION
from pep_tf.data.movielens.rules import RULES
from pep_tf.data.store.manifest import file_md5
from pep_tf.errors import DataError


def read_lines(folder, name):
    return (folder / name).read_bytes().split(b"\n")[:-1]


def change(folder, name, line, new):
    """Replaces a line, 1-based; None deletes it."""
    lines = read_lines(folder, name)
    lines[line - 1 : line] = [] if new is None else [new]
    (folder / name).write_bytes(b"".join(one + b"\n" for one in lines))


def test_joins_by_id_in_the_order_of_the_ratings(folder):
    frame, _ = ONE_MILLION.read(folder)
    assert len(frame) == 42 * 9
    # The first line is 1::27::3::..., movie 27 is "Fil\xe9 27, The\x85 (1977)", 27 % 5 = 2.
    first = frame.iloc[0]
    assert first[["user", "movie", "rating"]].tolist() == [1, 27, 3]
    assert first["timestamp"] == 978_000_000 + 7919 + 27 * 104_729
    assert first[["gender", "age", "occupation", "zip"]].tolist() == ["M", 18, 1, "0101"]
    assert first[["year", "genres"]].tolist() == [1977, "Comedy|Children's|Musical"]
    assert frame["movie"][:9].tolist() == list(range(27, 0, -3))
    assert frame["zip"].cat.categories.is_monotonic_increasing
    data = (folder / "movies.dat").read_bytes()
    assert file_md5(folder / "movies.dat") == hashlib.md5(data).hexdigest()


def test_windows_line_ends_are_the_same_data(folder):
    expected, _ = ONE_MILLION.read(folder)
    for name in ONE_MILLION.files:
        (folder / name).write_bytes((folder / name).read_bytes().replace(b"\n", b"\r\n"))
    found, _ = ONE_MILLION.read(folder)
    assert found.equals(expected)


LONG = b"1::2::3::" + b"9" * 20
WIDTH = "must have 4 values, user::movie::rating::timestamp. Received: "
RATINGS_BAD = [
    (b"1::27::3", WIDTH + "3 in '1::27::3'"),
    (b"1::27::3::978::5", WIDTH + "5 in"),
    (b"", "`user` must be a whole number from 0. Received: a missing value"),
    (b"1,27,3,978", WIDTH + "1 in '1,27,3,978'"),
    (b"1:27:3:978", WIDTH),
    (b"x::27::3::978", "`user` must be a whole number from 0. Received: 'x'"),
    (b"1::::3::978", "`movie` must be a whole number from 0. Received: a missing value"),
    (b"1::27::3::-978", "`timestamp` must be a whole number.*Received: '-978'"),
    (b"1::27::3::9.5", "`timestamp` must be a whole number.*Received: '9.5'"),
    (b"1::27::3:: 978", "`timestamp` must be a whole number.*Received: ' 978'"),
    (b'1::27::3::"978"', "`timestamp` must be a whole number"),
    (LONG, "`timestamp` must be a whole number.*Received: '99999999999999999999'"),
    (b"1::27::0::978", "`rating` must be a whole number from 1 to 5. Received: '0'"),
    (b"1::27::6::978", "`rating` must be a whole number from 1 to 5. Received: '6'"),
    (b"1::27::3.5::978", "`rating` must be a whole number from 1 to 5. Received: '3.5'"),
    (b"43::27::3::978", "`user` must be a user of users.dat. Received: '43'"),
    (b"1::28::3::978", "`movie` must be a movie of movies.dat. Received: '28'"),
    (b"1::27::3::9\x0078", "must be latin-1 text. Received: a NUL byte"),
    (b"1::27::3::9\r78", "must be latin-1 text. Received: a carriage return"),
]


def named(path, line, message):
    """Matches an error that names the line before or after what it says."""
    at = re.escape(f"{path}, line {line}")
    return f"^(?=.*{at}(?![0-9])).*{message}"


@pytest.mark.parametrize("line", [1, 100, 378])
@pytest.mark.parametrize(("new", "message"), RATINGS_BAD)
def test_a_bad_rating_is_named(folder, line, new, message):
    change(folder, "ratings.dat", line, new)
    with pytest.raises(DataError, match=named(folder / "ratings.dat", line, message)):
        ONE_MILLION.read(folder)


@pytest.mark.parametrize(
    ("name", "line", "new", "message"),
    [
        ("users.dat", 3, b"3::X::56::16::70072", "`gender` must be F or M. Received: 'X'"),
        ("users.dat", 3, b"3::m::56::16::70072", "`gender` must be F or M. Received: 'm'"),
        ("users.dat", 3, b"3::M::old::16::70072", "`age` must be a whole number"),
        ("users.dat", 3, b"3::M::56::16", "5 values, user::gender::age::occupation::zip"),
        ("users.dat", 3, b"3::M::56::16::", "`zip` must be text that is not empty"),
        ("users.dat", 3, b"1::M::56::16::70072", "`user` must be each once.*'1' in .*which line 1"),
        ("movies.dat", 2, b"6::Heat::Drama", "`title` must be a title that ends with its year"),
        ("movies.dat", 2, b"6::Heat (95)::Drama", "`title` must be a.*Received: 'Heat \\(95\\)'"),
        ("movies.dat", 2, b"6::Heat (1995)::", "`genres` must be text that is not empty"),
        ("movies.dat", 2, b"6::Heat:: The (1995)::Drama", "3 values, .*Received: 4 in"),
        (
            "movies.dat",
            2,
            b"3::Heat (1995)::Drama",
            "`movie` must be each once.*'3' in .*which line 1",
        ),
    ],
)
def test_a_bad_user_or_movie_is_named(folder, name, line, new, message):
    change(folder, name, line, new)
    with pytest.raises(DataError, match=named(folder / name, line, message)):
        ONE_MILLION.read(folder)


def test_an_unknown_user_is_named_at_its_first_rating(folder):
    change(folder, "users.dat", 5, None)
    with pytest.raises(DataError, match=r"a user of users.dat.*'5' in .*ratings.dat, line 37$"):
        ONE_MILLION.read(folder)


@pytest.mark.parametrize("name", ONE_MILLION.files)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: b"", "must hold lines of text. Received: an empty file"),
        (lambda data: data[:-1], "must end in a line break.*seems truncated"),
        (lambda data: data[: len(data) // 2].rstrip(b"\n"), "must end in a line break"),
        (lambda data: data.decode("latin-1").encode("utf-16"), "as it came.*UTF-16"),
        (lambda data: data.decode("latin-1").encode("utf-16-le"), "line 1: .*a NUL byte"),
        (lambda data: b"\xef\xbb\xbf" + data, "as it came.*byte-order mark of UTF-8"),
        (lambda data: b"\x1f\x8b" + data, "line 1"),
    ],
)
def test_a_spoilt_file_is_named(folder, name, spoil, message):
    (folder / name).write_bytes(spoil((folder / name).read_bytes()))
    with pytest.raises(DataError, match="(?s)" + re.escape(str(folder / name)) + ".*" + message):
        ONE_MILLION.read(folder)


def test_truncation_names_the_last_line(folder):
    data = (folder / "ratings.dat").read_bytes()
    (folder / "ratings.dat").write_bytes(data[:-3])
    with pytest.raises(DataError, match="ratings.dat, line 378: must end in a line break"):
        ONE_MILLION.read(folder)


def test_missing_files_are_listed(folder):
    (folder / "users.dat").unlink()
    (folder / "movies.dat").unlink()
    with pytest.raises(DataError, match=r"Missing: users.dat, movies.dat\.$"):
        ONE_MILLION.read(folder)


def test_the_folder_above_is_recognised(folder):
    inner = folder / "ml-1m"
    inner.mkdir()
    for name in ONE_MILLION.files:
        (folder / name).rename(inner / name)
    with pytest.raises(DataError, match=re.escape(f"Is {str(inner)!r} meant?")):
        ONE_MILLION.read(folder)


def test_an_unreadable_file_is_named(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(DataError, match="ratings.dat: cannot be read: Permission denied"):
        ONE_MILLION.read(folder)


def test_a_file_cut_at_the_end_of_a_line_is_incomplete(folder):
    with pytest.raises(DataError, match=r"1,000,209 ratings.*truncated.*Received: 378$"):
        load("movielens-1m", data_dir=folder)


@pytest.mark.parametrize(
    ("title", "year"),
    [("Heat (1995)", 1995), ("2001 (A Space) (1968) ", 1968), ("(1950) (1996)", 1996)],
)
def test_year_is_the_last_one(folder, title, year):
    change(folder, "movies.dat", 9, f"27::{title}::Drama".encode())
    assert ONE_MILLION.read(folder)[0]["year"][0] == year


@pytest.mark.parametrize("title", ["", "Heat", "1995", "(1995) Heat", "Heat (19955)"])
def test_titles_without_year(folder, title):
    change(folder, "movies.dat", 9, f"27::{title}::Drama".encode())
    with pytest.raises(DataError, match=r"ends with its year.*movies.dat, line 9"):
        ONE_MILLION.read(folder)


ratings = st.lists(
    st.tuples(
        st.integers(0, 2**63 - 1),
        st.integers(0, 10**6),
        st.integers(1, 5),
        st.integers(0, 2**63 - 1),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None)
@given(ratings)
def test_valid_ratings_round_trip(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("few")
    lines = [b"::".join(b"%d" % value for value in row) + b"\n" for row in rows]
    (folder / "ratings.dat").write_bytes(b"".join(lines))
    found = ONE_MILLION.ratings.read(folder, RULES)
    values = [np.array([int(t) for t in c.distinct], object)[c.codes] for c in found.values()]
    assert list(zip(*values, strict=True)) == rows


edits = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 3),
        st.sampled_from(
            [b":", b"\n", b"\r\n", b",", b" ", b"-", b"0", b"7", b"\x00", b"\xe9", b'"']
        )
        | st.binary(max_size=3),
    ),
    min_size=1,
    max_size=4,
)


def mutate(data, changes):
    for where, cut, new in changes:
        at = int(where * len(data))
        data = data[:at] + new + data[at + cut :]
    return data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.sampled_from(ONE_MILLION.files), changes=edits)
def test_a_mutated_folder_parses_or_raises_a_data_error(folder, name, changes):
    sound = (folder / name).read_bytes()
    (folder / name).write_bytes(mutate(sound, changes))
    try:
        frame, _ = ONE_MILLION.read(folder)
    except DataError:
        return  # any other exception fails the test
    finally:
        number = len(read_lines(folder, "ratings.dat"))
        (folder / name).write_bytes(sound)
    assert len(frame) == number
    assert not frame.isna().any(axis=None)
