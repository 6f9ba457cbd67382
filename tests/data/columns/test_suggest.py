import pandas as pd
import pytest

from pep_tf.data import load
from pep_tf.data.columns.suggest import suggest_features

FRAME = pd.DataFrame(
    {
        "user": [7, 7, None, 20140301] * 10,
        "item": ["a1", None, "b2", "c|d"] * 10,
        "price": [1.5, None, 2.0, 1e9] * 10,
        "when": ["2026-01-01 05:00:00", "2026-01-02 06:00:00", None, ""] * 10,
        "code": ["0x1", "nan", "1e5", "7"] * 10,
        "rating": [1, 2, 4, 5] * 10,
        "empty": [None] * 40,
        "often": [1.0, 2.0, 1.0, 3.0] * 10,
    }
)
KINDS = "user=vocabulary,item=multi:|,price=bins:32,when_hour=hour:when,code=vocabulary"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_is_read_with_kinds_that_a_warning_tells(ending, tmp_path, caplog):
    path = tmp_path / f"rows.{ending}"
    FRAME.to_csv(path, index=False) if ending == "csv" else FRAME.to_parquet(path)
    data = load(str(path), label="rating >= 4", weight="often")
    assert f"rows.{ending} is read with --features='{KINDS}', by its first rows" in caplog.text
    assert list(data.schema.size_by_name) == ["user", "item", "price", "when_hour", "code"]


def test_a_list_is_a_bag(tmp_path):
    pd.DataFrame({"tags": [["a"], [], ["b", "c"]], "y": [0, 1, 0]}).to_parquet(
        tmp_path / "x.parquet"
    )
    assert suggest_features(tmp_path / "x.parquet", "y") == "tags=multi:|"
