"""Click logs: raw values are served with the ids of a file that holds them, or refused by both."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.data.clicklogs import AVAZU, CRITEO, HashEncoding, Transform, VocabularyEncoding
from pep_tf.data.clicklogs.formats import Format, default_features
from pep_tf.data.clicklogs.parse import Parser
from pep_tf.export.model_card import read_card
from tests.data.clicklogs.rows_for_tests import avazu_lines, criteo_lines
from tests.export.served import REFUSED, Served, values


@dataclasses.dataclass
class Log:
    fmt: Format
    transform: Transform
    served: Served
    line: bytes

    @property
    def row(self) -> dict[str, bytes]:
        named = zip(self.fmt.columns, self.line.split(self.fmt.delimiter), strict=True)
        return {n: v for n, v in named if n in self.transform.raw_columns()}

    def trained(self, column: str, value: bytes) -> np.ndarray | str:
        """The ids of the line of a file that holds a value."""
        parts = self.line.split(self.fmt.delimiter)
        parts[self.fmt.columns.index(column)] = value
        text = self.fmt.delimiter.join(parts) + b"\n"
        block = Parser(self.fmt, self.transform.features).parse_block(text, 1)
        whole = len(block.lines) == 1 and b"\n" not in value
        return self.transform.ids(block.keys)[0] if whole else REFUSED


@pytest.fixture(scope="module", params=["criteo-hash", "avazu-hash", "avazu-vocabulary"])
def log(request, tmp_path_factory):
    name, encoding = request.param.split("-")
    fmt = {"criteo": CRITEO, "avazu": AVAZU}[name]
    lines = {"criteo": criteo_lines, "avazu": avazu_lines}[name](60)
    features = default_features(fmt, "raw" if encoding == "hash" else "parts")
    if encoding == "hash":
        kept = HashEncoding((97,) * len(features), seed=3)
    else:
        keys = Parser(fmt, features).parse_block(b"\n".join(lines), 1).keys
        kept = VocabularyEncoding([np.unique(column) for column in keys.T], 1, "all")
    transform = Transform(fmt.name, features, kept)
    served = Served.of(transform, tmp_path_factory.mktemp(request.param))
    return Log(fmt, transform, served, lines[0])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_click_logs(log, data):
    columns = {"criteo": ["I1", "I13", "C1", "C26"], "avazu": ["hour", "C1", "C21", "site_id"]}
    places = st.tuples(st.sampled_from(columns[log.fmt.name]), values)
    drawn = data.draw(st.lists(places, min_size=1, max_size=12))
    log.served.check(log.row, [(c, v, log.trained(c, v)) for c, v in drawn])


# By log and column: values that are the same one, and values that are others.
ALIKE = {
    "criteo": {"I1": ([b"5", b"5.0", b"5.", b"005", b"5.000000000000000"], [b"", b"6", b"-5"])},
    "avazu": {
        "hour": ([b"14102923", b"14102923.0", b"14102923.00"], [b"14102922", b"15102923"]),
        "device_type": ([b"79", b"79.0", b"79."], [b"079", b"79.5", b"79 ", b""]),
        "site_id": ([b"79"], [b"79.0"]),
    },
}


def test_numbers_that_a_program_wrote_with_a_point(log):
    for column, (same, other) in ALIKE[log.fmt.name].items():
        for value in same:
            np.testing.assert_array_equal(log.trained(column, value), log.trained(column, same[0]))
        raw = {name: [v] * len(same + other) for name, v in log.row.items()}
        answers = log.served({**raw, column: same + other})
        assert np.ptp(answers[: len(same)]) < 1e-6
        if isinstance(log.transform.encoding, HashEncoding):  # else one id for all that is unknown
            assert np.abs(answers[len(same) :] - answers[0]).min() > 1e-5


TOLD = {
    "criteo": [
        (
            "I1",
            b" 5",
            r"an integer of at most 15 digits \(5.0 is 5\), or empty where it is missing",
        ),
        ("I2", b"nan", "an integer.* Received: `nan` in row 1"),
        ("I3", b"9" * 5000, "an integer.* Received: `9{40}` in row 1"),
        (
            "C4",
            b"a\tb",
            "text of at most 32 bytes without tab, line break, quote or NUL byte, or em",
        ),
        ("C5", b"x" * 33, "text of at most 32 bytes"),
    ],
    "avazu": [
        ("hour", b"", "a date and hour YYMMDDHH. Received: `` in row 1"),
        ("hour", b"2014-10-29", "a date and hour YYMMDDHH. Received: `2014-10-29` in row 1"),
        ("site_id", b'"a"', "text of at most 32 bytes without comma, .*quote"),
    ],
}


def test_a_value_that_no_file_may_hold_is_told(log):
    for column, value, words in TOLD[log.fmt.name]:
        raw = {name: [v, v, v] for name, v in log.row.items()}
        raw[column][1] = value
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{column}` must be {words}"):
            log.served(raw)


def test_the_card_says_what_a_column_holds_and_what_says_that_it_does_not(log):
    card = read_card(log.served.folder)
    assert card["raw_values"].keys() == card["missing_values"].keys() == log.row.keys()
    missing = {name: None if name == "hour" else "" for name in log.row}
    assert card["missing_values"] == missing
    told = card["raw_values"]["I1" if log.fmt is CRITEO else "hour"]
    assert told.startswith("an integer" if log.fmt is CRITEO else "a date and hour")
