import hashlib
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pep_tf.data import movielens_files
from pep_tf.data.movielens_files import check_complete, read_files, year_of
from pep_tf.errors import DataError


def read_lines(folder, name):
    return (folder / name).read_bytes().split(b"\n")[:-1]


def change(folder, name, line, new):
    """Replaces a line, 1-based; None deletes it."""
    lines = read_lines(folder, name)
    lines[line - 1 : line] = [] if new is None else [new]
    (folder / name).write_bytes(b"".join(one + b"\n" for one in lines))


def test_joins_by_id_in_the_order_of_the_ratings(folder):
    frame, md5 = read_files(folder)
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
    assert md5["movies.dat"] == hashlib.md5(data).hexdigest()


def test_windows_line_ends_are_the_same_data(folder):
    expected, _ = read_files(folder)
    for name in movielens_files.FILES:
        (folder / name).write_bytes((folder / name).read_bytes().replace(b"\n", b"\r\n"))
    found, _ = read_files(folder)
    assert found.equals(expected)


LONG = b"1::2::3::" + b"9" * 20
RATINGS_BAD = [
    (b"1::27::3", r"4 parts, user::movie::rating::timestamp. Received: 3 parts in '1::27::3'"),
    (b"1::27::3::978::5", "4 parts.*Received: 5 parts"),
    (b"", "4 parts.*Received: 1 parts in ''"),
    (b"1,27,3,978", "4 parts.*Received: 1 parts in '1,27,3,978'"),
    (b"1:27:3:978", "4 parts"),
    (b"x::27::3::978", "user to be a whole number in digits 0-9. Received: 'x'"),
    (b"1::::3::978", "movie to be a whole number in digits 0-9. Received: ''"),
    (b"1::27::3::-978", "timestamp to be a whole number.*Received: '-978'"),
    (b"1::27::3::9.5", "timestamp to be a whole number.*Received: '9.5'"),
    (b"1::27::3:: 978", "timestamp to be a whole number.*Received: ' 978'"),
    (b'1::27::3::"978"', "timestamp to be a whole number"),
    (LONG, "timestamp to be a whole number.*Received: '99999999999999999999'"),
    (b"1::27::0::978", "rating to be a whole number from 1 to 5. Received: '0'"),
    (b"1::27::6::978", "rating to be a whole number from 1 to 5. Received: '6'"),
    (b"1::27::3.5::978", "rating to be a whole number from 1 to 5. Received: '3.5'"),
    (b"43::27::3::978", "a user of users.dat. Received: user 43"),
    (b"1::28::3::978", "a movie of movies.dat. Received: movie 28"),
    (b"1::27::3::9\x0078", "latin-1 text. Received: a NUL byte"),
]


@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
@pytest.mark.parametrize("line", [1, 100, 378])
@pytest.mark.parametrize(("new", "message"), RATINGS_BAD)
def test_a_bad_rating_is_named(folder, line, new, message, block_bytes, monkeypatch):
    monkeypatch.setattr(movielens_files, "_BLOCK_BYTES", block_bytes)
    change(folder, "ratings.dat", line, new)
    place = re.escape(f"{folder / 'ratings.dat'}, line {line}: expected ")
    with pytest.raises(DataError, match=place + message):
        read_files(folder)


@pytest.mark.parametrize(
    ("name", "line", "new", "message"),
    [
        ("users.dat", 3, b"3::X::56::16::70072", "gender to be F or M. Received: 'X'"),
        ("users.dat", 3, b"3::m::56::16::70072", "gender to be F or M. Received: 'm'"),
        ("users.dat", 3, b"3::M::old::16::70072", "age to be a whole number"),
        ("users.dat", 3, b"3::M::56::16", "5 parts, user::gender::age::occupation::zip"),
        ("users.dat", 3, b"3::M::56::16::", "zip to be text that is not empty"),
        ("users.dat", 3, b"1::M::56::16::70072", "each user once. Received: user 1, which line 1"),
        ("movies.dat", 2, b"6::Heat::Drama", "year to be a title that ends with its year"),
        ("movies.dat", 2, b"6::Heat (95)::Drama", "year to be a title.*Received: 'Heat \\(95\\)'"),
        ("movies.dat", 2, b"6::Heat (1995)::", "genres to be text that is not empty"),
        ("movies.dat", 2, b"6::Heat:: The (1995)::Drama", "3 parts.*Received: 4 parts"),
        ("movies.dat", 2, b"3::Heat (1995)::Drama", "each movie once. Received: movie 3, which"),
    ],
)
def test_a_bad_user_or_movie_is_named(folder, name, line, new, message):
    change(folder, name, line, new)
    with pytest.raises(
        DataError, match=re.escape(f"{folder / name}, line {line}: ") + ".*" + message
    ):
        read_files(folder)


def test_an_unknown_user_is_named_at_its_first_rating(folder):
    change(folder, "users.dat", 5, None)
    with pytest.raises(DataError, match=r"ratings.dat, line 37: .* user of users.dat.* user 5$"):
        read_files(folder)


@pytest.mark.parametrize("name", movielens_files.FILES)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: b"", "must hold lines of text. Received: an empty file"),
        (lambda data: data[:-1], "expected a line break .* seems truncated"),
        (lambda data: data[: len(data) // 2].rstrip(b"\n"), "expected a line break"),
        (lambda data: data.decode("latin-1").encode("utf-16"), "as latin-1.*UTF-16"),
        (lambda data: data.decode("latin-1").encode("utf-16-le"), "line 1: .* a NUL byte"),
        (lambda data: b"\xef\xbb\xbf" + data, "as latin-1.*byte-order mark of UTF-8"),
        (lambda data: b"\x1f\x8b" + data, "line 1: expected (user|movie) to be a whole number"),
    ],
)
def test_a_spoilt_file_is_named(folder, name, spoil, message):
    (folder / name).write_bytes(spoil((folder / name).read_bytes()))
    with pytest.raises(DataError, match=re.escape(str(folder / name)) + ".*" + message):
        read_files(folder)


def test_truncation_names_the_last_line(folder):
    data = (folder / "ratings.dat").read_bytes()
    (folder / "ratings.dat").write_bytes(data[:-3])
    with pytest.raises(DataError, match="ratings.dat, line 378: expected a line break"):
        read_files(folder)


def test_missing_files_are_listed(folder):
    (folder / "users.dat").unlink()
    (folder / "movies.dat").unlink()
    with pytest.raises(DataError, match=r"Missing: users.dat, movies.dat\.$"):
        read_files(folder)


def test_the_folder_above_is_recognised(folder):
    inner = folder / "ml-1m"
    inner.mkdir()
    for name in movielens_files.FILES:
        (folder / name).rename(inner / name)
    with pytest.raises(DataError, match=re.escape(f"Is {str(inner)!r} meant?")):
        read_files(folder)


def test_an_unreadable_file_is_named(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(
        DataError, match="ratings.dat must be readable. Received: Permission denied"
    ):
        read_files(folder)


def test_a_file_cut_at_the_end_of_a_line_is_incomplete(folder):
    frame, _ = read_files(folder)
    with pytest.raises(DataError, match=r"truncated.*Received: 378 ratings by 42 users"):
        check_complete(frame, "ratings.dat")


@pytest.mark.parametrize(
    ("title", "year"),
    [("Heat (1995)", 1995), ("2001 (A Space) (1968) ", 1968), ("(1950) (1996)", 1996)],
)
def test_year_is_the_last_one(title, year):
    assert year_of(title) == year


@pytest.mark.parametrize(
    "title", ["", "Heat", "1995", "(1995) Heat", "Heat (19955)", "H (\u0661\u0662\u0663\u0664)"]
)
def test_titles_without_year(title):
    with pytest.raises(ValueError, match="ends with its year"):
        year_of(title)


# Fuzzing: the fast parser must accept nothing that the strict one, line by line, refuses.

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


def text_file(path, data):
    path.write_bytes(data)
    return movielens_files._TextFile.read(path)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "ratings.dat"


def one_by_one(file):
    return movielens_files._parse_lines(file, movielens_files._RATING, file.lines())


def encode(rows):
    return b"".join(b"::".join(b"%d" % value for value in row) + b"\n" for row in rows)


@settings(deadline=None)
@given(ratings)
def test_valid_ratings_round_trip(scratch, rows):
    file = text_file(scratch, encode(rows))
    frame = movielens_files._parse_ratings_fast(file.data)
    assert frame is not None
    assert frame.to_numpy().tolist() == [list(row) for row in rows]
    assert frame.equals(one_by_one(file))


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


@settings(max_examples=300, deadline=None)
@given(ratings, edits, st.sampled_from([1, 20, 1 << 20]))
def test_mutated_ratings_parse_or_raise_a_data_error(scratch, rows, changes, block_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(movielens_files, "_BLOCK_BYTES", block_bytes)
        check_mutated_ratings(scratch, rows, changes)


def check_mutated_ratings(scratch, rows, changes):
    try:
        file = text_file(scratch, mutate(encode(rows), changes))
        expected = one_by_one(file)
    except DataError as error:
        with pytest.raises(DataError, match=re.escape(str(error))):
            movielens_files.parse_ratings(movielens_files._TextFile.read(scratch))
    else:
        assert movielens_files.parse_ratings(file).equals(expected)
        assert len(expected) == file.data.count(b"\n")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.sampled_from(movielens_files.FILES), changes=edits)
def test_a_mutated_folder_parses_or_raises_a_data_error(folder, name, changes):
    sound = (folder / name).read_bytes()
    (folder / name).write_bytes(mutate(sound, changes))
    try:
        frame, _ = read_files(folder)
    except DataError:
        return  # any other exception fails the test
    finally:
        number = len(read_lines(folder, "ratings.dat"))
        (folder / name).write_bytes(sound)
    assert len(frame) == number
    assert not frame.isna().any(axis=None)
