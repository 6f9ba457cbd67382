"""A SavedModel asked with raw values, judged by what the reader of the files makes of them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from pep_tf.data.raw import UNKNOWN, RawTransform
from pep_tf.export.saved_model import export_saved_model
from tests.export.towers import SmallTower

DIM = 2
REFUSED = "refused"
EDGES = [2**31 - 1, 2**31, 2**53 + 1, 10**15 - 1, 10**15, 2**63 - 1, 2**63, -(2**63), 10**30]

integers = st.one_of(st.integers(-20, 300), st.integers(-(10**17), 10**17), st.sampled_from(EDGES))
hours = st.builds(
    "{:02}{:02}{:02}{:02}".format,
    *(st.integers(0, 99), st.integers(0, 13), st.integers(0, 32), st.integers(0, 25)),
)
numbers = st.one_of(integers.map(str), hours)
written = st.one_of(
    numbers,
    st.builds("{}.{}".format, numbers, st.integers(0, 20).map("0".__mul__)),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", " ", "+", "-", "0", "00"]),
        numbers,
        st.sampled_from(["", " ", ".0", ".50", ".0.0", "e0", ",0", "\r", "\n"]),
    ),
    st.floats().map(str),
    st.floats(-1e18, 1e18).map("{:.3e}".format),
    integers.map(hex),
    st.integers(0, 2**32 - 1).map("{:08x}".format),
    st.integers(0, 2**32 - 1).map("{:08X}".format),
    st.sampled_from(
        [
            "",
            " ",
            ".",
            ".0",
            "-",
            "-.0",
            "--1",
            "1_0",
            "nan",
            "NaN",
            "inf",
            "None",
            "null",
            "True",
            "٥",
        ]
    ),
)
values = st.one_of(
    written.map(str.encode),
    st.text(max_size=12).map(str.encode),
    st.binary(max_size=12),
    st.integers(30, 34).map(lambda n: b"5" * n),
    st.just(b"x" * 5000),
)


@dataclasses.dataclass
class Served:
    """A SavedModel each of whose ids has numbers of its own, so that another id gives another answer."""

    transform: RawTransform
    tower: SmallTower
    table: np.ndarray
    folder: Path
    loaded: object

    @classmethod
    def of(cls, transform: RawTransform, folder: Path) -> "Served":
        schema = transform.schema
        tower = SmallTower(schema.num_fields, DIM)
        table = np.random.default_rng(0).normal(0, 1, (schema.num_features, DIM)).astype(np.float32)
        version = export_saved_model(
            folder, schema=schema, table=table, tower=tower, transform=transform
        )
        return cls(transform, tower, table, version, tf.saved_model.load(str(version)))

    def __call__(self, raw: dict[str, list]) -> np.ndarray:
        columns = self.transform.raw_columns()
        inputs = {name: tf.constant(v, columns[name].dtype) for name, v in raw.items()}
        return self.loaded.signatures["serving_default"](**inputs)["probability"].numpy()

    def expected(self, ids: list[np.ndarray]) -> np.ndarray:
        ids = np.stack(ids)
        rows = self.table[np.maximum(ids, 0) + self.transform.schema.offsets]
        rows[ids == UNKNOWN] = 0
        return tf.sigmoid(self.tower.interact(tf.constant(rows), None)).numpy()

    def check(self, row: dict[str, object], drawn: list[tuple[str, object, object]]) -> None:
        """Values, each in a column of `row`, against what training gives: ids int32 [F], or `REFUSED`."""
        good = [(column, value, ids) for column, value, ids in drawn if ids is not REFUSED]
        if good:
            raw = {name: [row[name]] * len(good) for name in row}
            for place, (column, value, _) in enumerate(good):
                raw[column][place] = value
            found = self(raw)
            exact = self.expected([ids for _, _, ids in good])
            np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6)
        for column, value, ids in drawn:
            if ids is REFUSED:
                pair = {name: [row[name], row[name]] for name in row}
                pair[column][1] = value
                with pytest.raises(tf.errors.InvalidArgumentError) as error:
                    self(pair)
                assert f"`{column}` must be " in str(error.value)
                assert "in row 1" in str(error.value)
