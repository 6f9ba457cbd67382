"""`from_dataframe`: a table in memory as `CTRData`."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pep_tf.data.columns.declaration import Declaration
from pep_tf.data.columns.table import Frame, Table
from pep_tf.data.columns.texts import Place, row_of_frame
from pep_tf.data.dataset import CTRData
from pep_tf.errors import DataError


def from_dataframe(
    frame: pd.DataFrame,
    label: str,
    features: Mapping[str, str],
    *,
    split: Any = "random",
    weight: str | None = None,
    drop: Mapping[str, Any] | None = None,
    seed: int = 0,
    name: str = "own-data",
) -> CTRData:
    """A data set of a table's rows, ready to train on and to serve.

    | kind | a value | an id |
    |---|---|---|
    | `vocabulary` | any text or number | one for each value of the training rows; 1 for all others |
    | `hash:N` | any text or number | 1 to N - 1, by a hash |
    | `integer` | a whole number v | as `vocabulary`, of int(ln(v)^2) above 2, else v - 2 (Criteo) |
    | `bins:N` | a finite number | that of one of N bins with equally many training rows |
    | `float` | a finite number | 0 alone; the number counts, standardised: see `Float` |
    | `multi:SEP` | values with SEP between them, or a list | each as of a `vocabulary`; see `Field` |
    | `hour`, `weekday` | a date and time, or seconds since 1970 | 1 to 24, 1 to 7 |

    A missing value, of any kind, is id 0. The exported model takes the same columns by name, each as
    texts (`data.transform.texts(rows)` gives them), and maps them to the same ids.

    Args:
        frame: a row a sample; columns that nothing reads are left alone.
        label: a column of 0 and 1, or a column and a threshold, such as `"rating > 3"`.
        features: `{field: kind}`, in the order of the fields. The field's column is the one of its
            name; `"hour:time"` reads the column `time`.
        split: see `split_values`.
        weight: a column of how much each row counts in loss and metrics, 0 or more: a row of weight 2
            as the row twice. None: all alike.
        drop: `{column: value or values}`: rows to leave out, such as `{"rating": 3}`.
        seed: of a split that is drawn.
        name: of the data set, in results.

    Raises:
        DataError: what cannot be trained on, scored or served, with its column and row.

    Example:
        >>> rows = pd.DataFrame({"user": list("abcd") * 10, "clicked": [0, 1, 1, 0, 1] * 8})
        >>> from_dataframe(rows, "clicked", {"user": "vocabulary"}).schema.size_by_name
        {'user': 6}
    """
    declared = Declaration.of(label, features, split=split, weight=weight, drop=drop, seed=seed)
    return build(frame, declared, name=name, place=row_of_frame)


def build(
    frame: pd.DataFrame,
    declared: Declaration,
    *,
    name: str,
    place: Place,
    source: str = "the table",
) -> CTRData:
    """As `from_dataframe`; `place` tells where a row is, `source` what the table is, for messages."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"`frame` must be a pandas DataFrame. Received: {type(frame).__name__}; "
            "pd.DataFrame({column: values}) makes one"
        )
    return Table(Frame(frame, place, source), declared, name).held()
