"""`from_files`: tables in files, CSV, TSV or Parquet, as `CTRData`, in memory or by a store.

pyarrow reads them: CSV as bytes, so that nothing is guessed (a typed reader takes 007 for 7 and refuses
"5.0" as an integer), Parquet with the types that it has. Only the columns that are asked for are read.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from pep_tf.data.columns.declaration import Declaration
from pep_tf.data.columns.from_dataframe import build
from pep_tf.data.columns.stored_table import StoredTable, read_table_store
from pep_tf.data.columns.table_files import Files, TableFiles, stem_of
from pep_tf.data.dataset import CTRData
from pep_tf.data.store.write import write
from pep_tf.paths import resolve


def from_files(
    files: Files,
    label: str,
    features: Mapping[str, str],
    *,
    split: Any = "random",
    weight: str | None = None,
    drop: Mapping[str, Any] | None = None,
    seed: int = 0,
    name: str | None = None,
    store: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> CTRData:
    """A data set of the rows of files, one after another, ready to train on and to serve.

    Args:
        files: a file, a pattern such as `clicks-*.parquet`, or several: CSV or TSV with a line of
            column names, perhaps gzipped, or Parquet. An empty value of CSV is missing.
        label, features, split, weight, drop, seed: see `from_dataframe`.
        name: of the data set; None: what the first file is called.
        store: a folder. The rows are then prepared once, into a store there, and streamed from it: they
            may be more than fit in memory. The same call finds the store. None: they are held in memory.
        overwrite: replaces a store of other rows or another declaration.

    Raises:
        DataError: as `from_dataframe`; a file that is missing, empty, damaged, or has other columns; a
            store that holds something else.

    Example:
        >>> rows = {"user": ["a", "b"] * 50, "item": range(100), "clicked": [0, 1, 1, 0] * 25}
        >>> pd.DataFrame(rows).to_csv("clicks.csv", index=False)
        >>> features = {"user": "vocabulary", "item": "hash:100000"}
        >>> from_files("clicks.csv", "clicked", features).schema.size_by_name
        {'user': 4, 'item': 100000}
    """
    table = TableFiles(files)
    name = name or stem_of(table.paths[0])
    declared = Declaration.of(label, features, split=split, weight=weight, drop=drop, seed=seed)
    if store is not None:
        rows = StoredTable(table, declared, name)
        # Of one name, so that a folder has one store.
        manifest = write(rows, resolve(store), "table blocks", overwrite=overwrite)
        return dataclasses.replace(read_table_store(manifest["folder"]), name=name)
    frame, place = table.read(declared.columns(table.names))
    return build(frame, declared, name=name, place=place, source=table.source)
