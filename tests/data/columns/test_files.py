"""Tables in files: the same data set from every format, and bad files named with their line."""

import gzip

import numpy as np
import pandas as pd
import pytest

from pep_tf.data import from_dataframe, from_files
from pep_tf.errors import DataError
from tests.data.columns.clicks import FEATURES, clicks

HEAD = b"user,clicked,time\n"
LINES = [f"u{i % 5},{i // 5 % 2},{i}\n".encode() for i in range(60)]
TEXT = HEAD + b"".join(LINES)
FLIPPED = bytearray(gzip.compress(TEXT, mtime=0))
FLIPPED[10] |= 6  # a kind of block that there is not
USER = {"user": "vocabulary"}


def write(path, content: bytes):
    path.write_bytes(content)
    return path


def same(data, other) -> bool:
    return data.identity.difference(other.identity) is None and all(
        (own.ids == others.ids).all()
        for own, others in zip(data.splits.values(), other.splits.values(), strict=True)
    )


def test_every_format_gives_what_the_frame_gives(tmp_path):
    frame = clicks()
    options = {"label": "clicked", "features": FEATURES, "split": "time:time"}
    expected = from_dataframe(frame, **options)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "b.tsv.gz", index=False, sep="\t")
    frame.iloc[:90].to_parquet(tmp_path / "part-1.parquet")
    frame.iloc[90:].to_parquet(tmp_path / "part-2.parquet")
    for files in ("a.csv", "b.tsv.gz", "part-*.parquet"):
        data = from_files(tmp_path / files, **options)
        assert same(data, expected), files
        assert data.name == {"a.csv": "a", "b.tsv.gz": "b"}.get(files, "part-1")
    several = from_files([tmp_path / "part-1.parquet", tmp_path / "part-2.parquet"], **options)
    assert same(several, expected)
    assert str(tmp_path / "part-2.parquet") in several.details["source"]


def test_nothing_in_a_text_is_guessed(tmp_path):
    rows = ["007", "7", "7.0", "NA", "nan", '"a,b"', '""', "", "\xe9", '"two\nlines"'] * 6
    text = "x,clicked\n" + "".join(f"{x},{i // 10 % 2}\n" for i, x in enumerate(rows))
    path = write(tmp_path / "x.csv", text.encode("latin-1"))
    names = np.array(["train"] * 40 + ["validation", "test"] * 10)
    data = from_files(path, "clicked", {"x": "vocabulary"}, split=names)
    assert data.transform.schema.sizes == (2 + 7,)
    assert (np.unique(data.train.ids) == [0, *range(2, 9)]).all()


def test_a_large_integer_beside_a_gap_keeps_its_digits(tmp_path):
    users = pd.array([2**63 - 1, 2**63 - 2, None] * 20, dtype="Int64")
    frame = pd.DataFrame({"user": users, "clicked": np.arange(60) // 3 % 2})
    frame.to_parquet(tmp_path / "x.parquet")
    data = from_files(tmp_path / "x.parquet", "clicked", USER)
    assert data.schema.sizes == (2 + 2,)
    # pandas reads it as floats that have lost digits, and a list with a gap as well.
    with pytest.raises(DataError, match="`user` must have whole numbers below 9007199254740992"):
        data.transform.texts(pd.DataFrame({"user": [2.0**63, np.nan]}))
    frame["user"] = pd.Series([[2**60 + 1, None], [2**60 + 2]] * 30)
    frame.to_parquet(tmp_path / "[x].parquet")  # a name, no pattern
    with pytest.raises(DataError, match=r"`user` must have whole .*the list in row 0 of .*\[x\]"):
        from_files(tmp_path / "[x].parquet", "clicked", {"user": "multi:|"})


BAD = {
    "missing.csv": (None, "missing.csv: there is no such file"),
    "x.xlsx": (b"", r"x.xlsx: must end in one of .csv, .tsv, .csv.gz, .tsv.gz, .parquet"),
    "empty.csv": (b"", "empty.csv: empty; line 1 must have the names"),
    "header.csv": (HEAD, "header.csv: holds no rows"),
    "short.csv": (TEXT + b"u1,0\n", "short.csv, line 62: must have 3 values.*Received: 2"),
    "long.csv": (
        TEXT + b'"a\nb",0,1\nu1,0,1,2\n',
        "long.csv, line 64: must have 3 values.*Received: 4",
    ),
    "blank.csv": (
        HEAD + LINES[0] + b"\n" + TEXT[len(HEAD) :],
        "`clicked` must be 0 or 1.*a missing value in .*blank.csv, line 3",
    ),
    "label.csv": (TEXT + b'"a\nb",0,1\nu1,2,0\n', "`clicked` must be 0.*label.csv, line 64"),
    "other.csv": (
        TEXT.replace(b"user", b"item"),
        "other.csv: must have one column 'user'. Received: none, among item, clicked",
    ),
    "twice.csv": (TEXT.replace(b"time", b"user"), "must have one column 'user'. Received: 2"),
    "cut.csv.gz": (gzip.compress(TEXT)[:-20], "cut.csv.gz.* cannot be read"),
    "flip.csv.gz": (FLIPPED, "flip.csv.gz.* cannot be read"),
    "text.csv.gz": (TEXT, "text.csv.gz.* cannot be read"),
    "text.parquet": (TEXT, "text.parquet: cannot be read"),
    "none-*.csv": (None, r"none-\*.csv: there is no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named(name, tmp_path):
    content, message = BAD[name]
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as error:
        from_files(tmp_path / name, "clicked", USER)
    assert "\n" not in str(error.value)


def test_one_bad_file_among_many_is_named(tmp_path):
    write(tmp_path / "part-1.csv", TEXT)
    for content, message in (
        (b"", "part-2.csv: empty"),
        (HEAD, "part-2.csv: holds no rows"),
        (TEXT.replace(b"user", b"u"), "part-2.csv: must have one column 'user'"),
        (HEAD + b"u1,7,0\n", "`clicked` must be 0 or 1.*'7' in .*part-2.csv, line 2"),
    ):
        write(tmp_path / "part-2.csv", content)
        with pytest.raises(DataError, match=message):
            from_files(tmp_path / "part-*.csv", "clicked", USER)
    frame = pd.DataFrame({"user": range(4), "clicked": [0, 1, 0, 1]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.astype({"user": str}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="b.parquet: column 'user' must be of type int64, as in"):
        from_files(tmp_path / "?.parquet", "clicked", USER)


def test_a_list_in_a_parquet_file_is_named(tmp_path):
    frame = pd.DataFrame({"user": [["a"], ["b", "c"]] * 10, "clicked": [0, 1] * 10})
    frame.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="`user` must hold one value per row.*row 0 of .*x.parquet"):
        from_files(tmp_path / "x.parquet", "clicked", USER)
