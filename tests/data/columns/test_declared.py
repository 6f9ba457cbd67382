"""Own data by the name of a file: what `load` and `--dataset` take."""

import pytest

from pep_tf.data import load
from pep_tf.errors import PepError
from tests.data.columns.clicks import FEATURES, clicks
from tests.data.columns.test_files import TEXT, same, write

DECLARED = (
    'DATA = {"files": "clicks.csv", "label": "clicked", "features": {"user": "vocabulary"}}\n'
)


def test_a_table_and_its_declaration_are_one_data_set(tmp_path):
    write(tmp_path / "clicks.csv", TEXT)
    (tmp_path / "mine.py").write_text(DECLARED)
    beside = load(str(tmp_path / "clicks.csv"), features="user=vocabulary", label="clicked", seed=1)
    declared = load(str(tmp_path / "mine.py"), seed=1)
    assert same(beside, declared)
    assert (beside.name, declared.name) == ("clicks", "mine")
    assert declared.details["declaration"] == str(tmp_path / "mine.py")
    assert declared.train.md5 != load(str(tmp_path / "mine.py")).train.md5


def test_a_declaration_may_make_its_frame(tmp_path):
    clicks().to_pickle(tmp_path / "clicks.pkl")
    (tmp_path / "mine.py").write_text(
        "import pandas as pd\n"
        f"def frame():\n    return pd.read_pickle({str(tmp_path / 'clicks.pkl')!r})\n"
        f"DATA = dict(frame=frame, label='price > 0', features={FEATURES!r}, drop={{'views': 7}})\n"
        "DATA['features'].pop('price')\n"
        "DATA['drop'] = {'item': 'tea', 'price': ''}\n"
    )
    data = load(str(tmp_path / "mine.py"))
    assert data.details["rows"] == ((clicks()["item"] != "tea") & clicks()["price"].notna()).sum()


def test_rows_are_dropped_by_text_as_by_values(tmp_path):
    write(tmp_path / "clicks.csv", TEXT)
    options = {"features": {"user": "vocabulary"}, "label": "clicked"}
    data = load(str(tmp_path / "clicks.csv"), drop="user=u1,user=u4,time=0.0", **options)
    assert data.details["rows_dropped"] == 12 + 12 + 1


BAD = {
    "no label": ("clicks.csv", {"features": {"user": "hash:9"}}, "`label` must be given for"),
    "no pairs": (
        "clicks.csv",
        {"label": "clicked", "features": "user"},
        "`features` must be pairs such as user=vocabulary.*Received: 'user'",
    ),
    "no pairs to drop": (
        "clicks.csv",
        {"label": "clicked", "features": "user=hash:5", "drop": "user"},
        "`drop` must be pairs such as rating=3,rating=4. Received: 'user'",
    ),
    "a field twice": (
        "clicks.csv",
        {"label": "clicked", "features": "user=vocabulary,user=hash:5"},
        "each name once. Received: 'user=hash:5'",
    ),
    "an option of other data": ("clicks.csv", {"rows": 5}, "has no option rows"),
    "a folder": ("clicks.csv", {"data_dir": "."}, "`data_dir` has no effect beside"),
    "declared twice": ("mine.py", {"label": "x"}, "`label` stands in .*mine.py itself"),
    "no file": ("nothing.py", {}, "nothing.py: there is no such file"),
    "a broken file": ("broken.py", {}, "broken.py fails: ZeroDivisionError"),
    "a file that exits": ("exits.py", {}, "exits.py fails: SystemExit: 3"),
    "no dict": ("none.py", {}, "none.py must define a dict `DATA`"),
    "no source": ("source.py", {}, "DATA must have either `files` or `frame`"),
    "an unknown key": ("key.py", {}, "DATA has no use for labels"),
    "no label in a file": ("label.py", {}, "DATA must have `label`"),
    "the name of another": ("criteo.py", {}, "must have another name than the data set 'criteo'"),
    "no such data set": ("clicks.txt", {}, "must be one of .*or a file: .csv, .tsv"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_not_declared_well_is_refused(what, tmp_path):
    write(tmp_path / "clicks.csv", TEXT)
    for name, text in {
        "mine.py": DECLARED,
        "criteo.py": DECLARED,
        "broken.py": "1 / 0",
        "exits.py": "raise SystemExit(3)",
        "none.py": "DATA = 5",
        "source.py": "DATA = {'label': 'clicked', 'features': {}}",
        "key.py": "DATA = {'files': 'clicks.csv', 'labels': 'clicked'}",
        "label.py": "DATA = {'files': 'clicks.csv', 'features': {}}",
    }.items():
        (tmp_path / name).write_text(text)
    name, options, message = BAD[what]
    with pytest.raises(PepError, match=message):
        load(str(tmp_path / name), **options)
