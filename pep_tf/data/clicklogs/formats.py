"""What the raw files of Criteo (Kaggle, 2014) and Avazu (Kaggle, 2014) look like."""

import dataclasses
from typing import Any

from pep_tf.data.clicklogs.keys import KINDS
from pep_tf.data.data_set import FEW_EPOCHS
from pep_tf.errors import DataError

MAX_LINE_BYTES = 65_536
_FULL_ROWS = 10_000_000
_LARGE, _MIDDLE, _SMALL = 1 << 17, 1 << 14, 1 << 11  # buckets of a hash


@dataclasses.dataclass(frozen=True)
class Feature:
    """One field of the model: which raw column it reads, and how (`kind`, see `keys.py`)."""

    name: str
    column: str
    kind: str
    buckets: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"`kind` must be one of {KINDS}. Received: {self.kind!r}")


@dataclasses.dataclass(frozen=True)
class Format:
    """A text format of click logs: one line per row, single-byte delimiter, no quoting.

    Attributes:
        name: of the data set.
        delimiter: one byte.
        columns: every column of a line, in order.
        label: the column that holds 0 or 1.
        header: whether line 1 holds the column names.
        integers: columns of decimal integers (or empty).
        numbered: columns of categories that are written as whole numbers.
        hours: columns YYMMDDHH.
        large, middle: columns of many different values, for which a hash has more buckets.
        source: where the raw file comes from.
    """

    name: str
    delimiter: bytes
    columns: tuple[str, ...]
    label: str
    header: bool
    integers: tuple[str, ...]
    numbered: tuple[str, ...]
    hours: tuple[str, ...]
    large: tuple[str, ...]
    middle: tuple[str, ...]
    source: str

    @property
    def header_line(self) -> bytes:
        return self.delimiter.join(c.encode() for c in self.columns)


_CRITEO_INTEGERS = tuple(f"I{i}" for i in range(1, 14))
_CRITEO_CATEGORIES = tuple(f"C{i}" for i in range(1, 27))
_AVAZU_NUMBERED = (
    *("C1", "banner_pos", "device_type", "device_conn_type"),
    *(f"C{i}" for i in range(14, 22)),
)

CRITEO = Format(
    name="criteo",
    delimiter=b"\t",
    columns=("label", *_CRITEO_INTEGERS, *_CRITEO_CATEGORIES),
    label="label",
    header=False,
    integers=_CRITEO_INTEGERS,
    numbered=(),
    hours=(),
    large=("C3", "C4", "C10", "C12", "C16", "C21", "C24", "C26"),
    middle=("C1", "C2", "C7", "C8", "C11", "C13", "C15", "C18", "C19"),
    source="Criteo Labs, Display Advertising Challenge (Kaggle, 2014): train.txt",
)

AVAZU = Format(
    name="avazu",
    delimiter=b",",
    columns=(
        *("id", "click", "hour", "C1", "banner_pos", "site_id", "site_domain", "site_category"),
        *("app_id", "app_domain", "app_category", "device_id", "device_ip", "device_model"),
        *_AVAZU_NUMBERED[2:],
    ),
    label="click",
    header=True,
    integers=(),
    numbered=_AVAZU_NUMBERED,
    hours=("hour",),
    large=("device_id", "device_ip"),
    middle=("site_id", "site_domain", "app_id", "app_domain", "device_model", "C14"),
    source="Avazu, Click-Through Rate Prediction (Kaggle, 2014): train.csv",
)

FORMATS = {f.name: f for f in (CRITEO, AVAZU)}
HOURS = ("raw", "parts")  # how Avazu's column `hour` is read, see `default_features`


def default_features(fmt: Format, hour: str = "raw") -> tuple[Feature, ...]:
    """The fields of a format: every column but the label and Avazu's `id`.

    Args:
        fmt: `CRITEO` (39 fields) or `AVAZU` (22 fields).
        hour: Avazu only. `raw` keeps the column `hour` as a category; `parts` replaces it by
            `hour_of_day` and `weekday` (23 fields).

    Raises:
        DataError: `hour` is neither.
    """
    if hour not in HOURS:
        raise DataError(f"`hour` must be 'raw' or 'parts'. Received: {hour!r}")
    features = []
    for column in fmt.columns:
        if column in (fmt.label, "id"):
            continue
        if column in fmt.hours and hour == "parts":
            features.append(Feature("hour_of_day", column, "hour_of_day", 32))
            features.append(Feature("weekday", column, "weekday", 16))
            continue
        kind = "integer" if column in fmt.integers else "category"
        many = _LARGE if column in fmt.large else _MIDDLE if column in fmt.middle else _SMALL
        features.append(Feature(column, column, kind, many))
    return tuple(features)


def click_log_defaults(train_rows: int) -> dict[str, Any]:
    """What differs from `Config`: the paper's MLP, and at full size its s0."""
    return {
        "threshold_init": -150.0 if train_rows >= _FULL_ROWS else "auto",
        "mlp_widths": (400, 400, 400),
        "attention_dropout": 0.0,
        **FEW_EPOCHS,
    }
