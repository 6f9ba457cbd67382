"""What cannot be trained on is refused before anything trains, with its column and row."""

import numpy as np
import pandas as pd
import pytest

import pep_tf
from pep_tf.data import from_dataframe
from pep_tf.errors import DataError
from tests.data.columns.clicks import FEATURES, clicks


def broken(**changes) -> pd.DataFrame:
    return clicks().assign(**changes)


def cell(column: str, value, row: int = 7) -> pd.DataFrame:
    frame = clicks()
    frame[column] = frame[column].astype(object)
    frame.at[row, column] = value
    return frame


BAD = {
    "three labels": (
        broken(clicked=np.resize([0, 1, 2], 200)),
        {},
        "`clicked` must be 0 or 1.* > 3'. Received: '2' in row 2",
    ),
    "no label": (
        cell("clicked", np.nan),
        {},
        "`clicked` must be 0 or 1.*Received: a missing value in row 7",
    ),
    "text under a threshold": (
        cell("clicked", "x"),
        {"label": "clicked > 0"},
        "`clicked` must be a number in every row.*'x' in row 7",
    ),
    "one class in a split": (
        broken(clicked=lambda f: (f["time"].rank() < 150).astype(int)),
        {"split": "time:time"},
        "`validation` must hold rows of both classes.*choose another `split` than 'time:time'",
    ),
    "a constant column": (
        broken(user=3),
        {},
        "`user` must have two values or more in the training rows. Received: the same in all 160",
    ),
    "an empty column": (broken(user=None), {}, "`user` must have two values or more"),
    "no such column": (
        clicks().drop(columns="price"),
        {},
        "must have one column 'price'. Received: none, among user, item",
    ),
    "a column twice": (
        pd.concat([clicks(), clicks()[["price"]]], axis=1),
        {},
        "must have one column 'price'. Received: 2 of them",
    ),
    "no such label": (clicks(), {"label": "click"}, "must have one column 'click'"),
    "the label as a feature": (
        clicks(),
        {"label": "user > 3"},
        "must not have the label's column 'user'",
    ),
    "times that do not sort": (
        cell("time", "31.12.2024"),
        {"split": "time:time", "features": {"user": "vocabulary"}},
        "`time` must be a time in every row.*'31.12.2024' in row 7",
    ),
    "a missing time": (
        cell("time", None),
        {"split": "time:time", "features": {"user": "vocabulary"}},
        "`time` must be a time in every row.*in row 7",
    ),
    "a list": (
        cell("item", ["tea", "milk"]),
        {},
        "`item` must hold one value per row.*list \"\\['tea', 'milk'\\]\" in row 7",
    ),
    "an array": (cell("item", np.zeros(2)), {}, "`item` must hold one value per row.*ndarray"),
    "a dict": (cell("item", {"a": 1}), {}, "`item` must hold one value per row.*dict"),
    "text without UTF-8": (
        cell("item", "\ud800"),
        {},
        "`item` must hold one value per row.*in row 7",
    ),
    "a text too long": (cell("item", "x" * 1025), {}, "`item` must be text of at most 1024 bytes"),
    "a rounded id": (
        broken(user=np.where(np.arange(200) == 7, 2.0**63, 1.0)),
        {},
        "`user` must have whole numbers below 9007199254740992 while it is float64.*in row 7",
    ),
    "no whole number": (
        broken(views=0.5),
        {},
        "`views` must be an integer of at most 15 digits.*'0.5' in row 0",
    ),
    "not a number": (
        cell("price", "cheap"),
        {},
        "`price` must be a finite number. Received: 'cheap' in row 7",
    ),
    "infinity": (
        cell("price", np.inf),
        {},
        "`price` must be a finite number. Received: 'inf' in row 7",
    ),
    "too large a number": (cell("price", "1e999"), {}, "`price` must be a finite number"),
    "milliseconds": (
        broken(time=1_700_000_000_000 + np.arange(200)),
        {},
        "`time` must be seconds since 1970, or a date",
    ),
    "no such day": (
        cell("time", "2024-04-31"),
        {},
        "`time` must be seconds since 1970.*'2024-04-31' in row 7",
    ),
    "an unknown kind": (
        clicks(),
        {"features": {"user": "vocab"}},
        "`user` must be of a kind among vocabulary, hash:N.*Received: 'vocab'",
    ),
    "a kind that is no text": (
        clicks(),
        {"features": {"user": 5}},
        "`user` must be of a kind among.*Received: 5",
    ),
    "a hash without buckets": (
        clicks(),
        {"features": {"item": "hash"}},
        "`N of hash:N for item` must be a whole number",
    ),
    "one bin": (
        clicks(),
        {"features": {"price": "bins:1"}},
        "`N of bins:N for price` must be at least 2",
    ),
    "more than a kind": (
        clicks(),
        {"features": {"user": "vocabulary:3"}},
        "`user` must be 'vocabulary', or such as vocabulary:min=5:max=1000.*'3' in it",
    ),
    "a limit that is none": (
        clicks(),
        {"features": {"user": "vocabulary:min=0"}},
        "`min of user` must be at least 1",
    ),
    "a limit that no value reaches": (
        clicks(),
        {"features": {"user": "vocabulary:min=161"}},
        "`user` must have a value in 161 training rows or more",
    ),
    "more than a number": (
        clicks(),
        {"features": {"size": "float:3"}},
        "`size` must be 'float', with nothing after it",
    ),
    "no features": (clicks(), {"features": {}}, "`features` must be a dict"),
    "a name that cannot be served": (
        clicks().rename(columns={"user": "user id"}),
        {"features": {"user id": "vocabulary"}},
        "must have a name of letters, digits and _",
    ),
    "an unknown split": (clicks(), {"split": "time"}, "`split` must be one of 'random', 'hash'"),
    "a split too short": (
        clicks(),
        {"split": ["train"] * 3},
        "here 200 names. Received: 3 in a list",
    ),
    "a split of other rows": (
        clicks(),
        {"split": pd.Series(["train", "test"] * 100, index=np.arange(200)[::-1])},
        r"`split` must have the index of the table: split.reindex\(rows.index\)",
    ),
    "a split of another name": (
        clicks(),
        {"split": ["train"] * 199 + ["dev"]},
        "`split` must be one of train, validation, test in every row. Received: 'dev' in row 199",
    ),
    "a split without rows": (
        clicks(),
        {"split": ["train", "test"] * 100},
        "`split` must leave rows for validation",
    ),
    "too few rows": (clicks().iloc[:3], {}, "`num_rows` must be large enough.*Received: 3"),
    "no rows": (clicks().iloc[:0], {}, "the table must have rows. Received: none, of 0"),
    "nothing to drop": (
        clicks(),
        {"drop": {"user": 77}},
        "`drop` must name values of column 'user'. Received: 77, which no row has",
    ),
    "a weight below 0": (
        broken(weight=lambda f: f.index - 1),
        {"weight": "weight"},
        "`weight` must be a weight in every row: a number, 0 or more. Received: '-1' in row 0",
    ),
    "no weight": (
        cell("price", None),
        {"weight": "price"},
        "`price` must be a weight in every row",
    ),
    "one class without weight": (
        broken(weight=lambda f: f["clicked"]),
        {"weight": "weight"},
        "`train` must hold rows of both classes",
    ),
    "a label that is no name": (
        clicks(),
        {"label": clicks()["clicked"]},
        "`label` must be the name of a column. Received: Series",
    ),
    "a weight that is no name": (
        clicks(),
        {"weight": 2.0},
        "`weight` must be the name of a column",
    ),
    "names to drop": (clicks(), {"drop": ["user"]}, "`drop` must be a dict"),
    "half a character": (cell("user", "\ud800"), {}, r"`user` must hold.*'.ud800' in row 7"),
    "half a character in a split": (
        clicks(),
        {"split": ["train"] * 199 + ["\ud800"]},
        r"`split` must hold.*'.ud800' in row 199",
    ),
    "half a character for a separator": (
        clicks(),
        {"features": {"tags": "multi:\ud800:hash:10"}},
        "`tags` must be multi:SEPARATOR",
    ),
    "one time": (broken(at=5), {"split": "time:at"}, "`split` by time must have two times or more"),
    "labels 1 to 5": (
        broken(clicked=np.resize([1, 2, 3, 4, 5], 200)),
        {},
        "`clicked` must be 0 or 1.*a threshold.*'2' in row 1",
    ),
    "a separator inside a value": (
        cell("tags", ["a|b"]),
        {},
        "`tags` must have no value with its separator.*in row 7",
    ),
    "a number with a comma": (cell("size", "1,5"), {}, "`size` must be a finite number.*row 7"),
    "a number that is constant": (
        broken(size=np.resize([3.0, np.nan], 200)),
        {},
        "`size` must have two values or more",
    ),
    "no table": ([1, 2], {}, "`frame` must be a pandas DataFrame. Received: list"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_trained_on_is_refused_in_one_line(what):
    frame, options, message = BAD[what]
    options = {"label": "clicked", "features": FEATURES, **options}
    with pytest.raises(DataError, match=message) as error:
        from_dataframe(frame, **options)
    assert "\n" not in str(error.value)


def test_a_table_that_no_one_declared_is_refused_by_name():
    model = pep_tf.build_model("fm", {"user": 5}, embedding_dim=2)
    for use in (
        lambda: pep_tf.prune(model, clicks(), budgets=["20%"]),
        lambda: pep_tf.export(model, "nowhere", data=clicks()),
    ):
        with pytest.raises(DataError, match=r"from_dataframe\(df, label, features\).*DataFrame$"):
            use()
