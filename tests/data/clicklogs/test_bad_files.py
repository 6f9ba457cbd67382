"""Files with bad lines, and files that are no such data set: named, counted, nothing dropped in silence."""

import gzip

import pytest

from pep_tf.data.clicklogs import AVAZU, ClickLogOptions, load_avazu, load_criteo
from pep_tf.data.clicklogs.formats import CRITEO
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.store.report import report
from pep_tf.errors import DataError
from tests.data.clicklogs.rows_for_tests import avazu_lines, criteo_lines, write

LINES = criteo_lines(600)


def test_bad_rows_are_counted_when_skipped(tmp_path, caplog):
    lines = [*LINES[:100], b"junk", *LINES[100:200], b"", LINES[0] + b"\r"]
    raw = write(tmp_path / "train.txt", lines)
    with pytest.raises(DataError, match=r"train.txt, line 101: 1 columns, criteo has 40.*skip"):
        prepare("criteo", raw, tmp_path / "out")
    assert not list((tmp_path / "out").glob("**/manifest.json"))
    manifest = prepare("criteo", raw, tmp_path / "out", ClickLogOptions(on_bad_row="skip"))
    counts = manifest["lines"]
    assert (counts["lines"], counts["rows"], counts["bad"]) == (203, 200, 3)
    assert [e["line"] for e in counts["bad_examples"]] == [101, 202, 203]
    assert sum(counts["bad_by_reason"].values()) == 3
    assert "203 = 200 rows + 3 bad" in report(manifest)
    caplog.clear()
    streamed = load_criteo(raw, on_bad_row="skip")
    assert streamed.train.num_rows == manifest["splits"]["train"]["rows"]
    (told,) = caplog.messages
    assert "3 of 203 lines are bad and left out" in told
    assert "First: line 101, 1 columns, criteo has 40" in told


WHOLE = b"".join(line + b"\n" for line in LINES[:200])
BEFORE, AFTER = (b"".join(line + b"\n" for line in part) for part in (LINES[:9], LINES[9:200]))
FAULTS = {
    "byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "carriage return": BEFORE + LINES[0] + b"\r\n" + AFTER,
    "NUL byte": BEFORE + LINES[0] + b"\0\n" + AFTER,
    "quote": BEFORE + LINES[0].replace(b"\t", b'\t"', 1) + b"\n" + AFTER,
    "line of 10000": BEFORE + LINES[0] + b"a" * 10_000_000 + b"\n" + AFTER,
    "must be 0 or 1": BEFORE + CRITEO.header_line + b"\n" + AFTER,
    "empty line": BEFORE + b"\n" + AFTER,
    "columns": WHOLE[:-60],  # cut short within its last line
}


@pytest.mark.parametrize("reason", FAULTS)
@pytest.mark.parametrize("packed", [False, True])
def test_one_fault_in_a_file(tmp_path, reason: str, packed: bool):
    """One line is left out and told, all others are stored: the counts add up to the file's."""
    text = FAULTS[reason]
    raw = tmp_path / "train.txt"
    raw.write_bytes(gzip.compress(text, 1) if packed else text)
    with pytest.raises(DataError, match=rf"train.txt, line \d+: .*{reason}"):
        prepare("criteo", raw, tmp_path / "out")
    assert not list((tmp_path / "out").glob("**/manifest.json"))
    manifest = prepare("criteo", raw, tmp_path / "out", ClickLogOptions(on_bad_row="skip"))
    counts = manifest["lines"]
    assert counts["lines"] == text.count(b"\n") + (not text.endswith(b"\n"))
    assert (counts["rows"], counts["bad"]) == (counts["lines"] - 1, 1)
    assert sum(split["rows"] for split in manifest["splits"].values()) == counts["rows"]
    assert reason in counts["bad_examples"][0]["reason"]


def test_files_that_are_no_such_data_set(tmp_path):
    cases = {
        "empty": (b"", "empty file"),
        "header": (CRITEO.header_line + b"\n" + LINES[0], "line 1 is a header"),
        "swapped": (AVAZU.header_line + b"\n", "looks like the avazu file"),
        "all_bad": (b"x\ny\n", "no row in it"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=reason):
            prepare("criteo", tmp_path / name, tmp_path / "out", ClickLogOptions(on_bad_row="skip"))
    write(tmp_path / "headless", avazu_lines(3))
    with pytest.raises(DataError, match="line 1 must be the header id,click"):
        prepare("avazu", tmp_path / "headless", tmp_path / "out")
    write(tmp_path / "only_header", [AVAZU.header_line])
    with pytest.raises(DataError, match="only_header: no row in it"):
        prepare("avazu", tmp_path / "only_header", tmp_path / "out")
    with pytest.raises(DataError, match="only_header: no row in it"):
        load_avazu(tmp_path / "only_header")
    write(tmp_path / "swapped_avazu", LINES[:3])
    with pytest.raises(DataError, match="looks like the criteo file"):
        prepare("avazu", tmp_path / "swapped_avazu", tmp_path / "out")
    packed = write(tmp_path / "a.gz", LINES).read_bytes()
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="truncated or damaged gzip"):
        prepare("criteo", tmp_path / "cut.gz", tmp_path / "out")
    with pytest.raises(DataError, match="truncated or damaged gzip"):
        load_criteo(tmp_path / "cut.gz")
