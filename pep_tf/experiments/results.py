"""Results of a run: one row for each trained table, kept as JSON."""

import dataclasses
import json
import pathlib
from typing import TYPE_CHECKING, Any, Self

from pep_tf.errors import RunError
from pep_tf.experiments import typed
from pep_tf.extras import missing
from pep_tf.paths import resolve
from pep_tf.training.state import save_text, with_checksum, without_checksum

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Row:
    """One trained table.

    Attributes:
        stage: `"baseline"`, `"uniform"` (a baseline of another embedding dimension), `"ticket"`
            (retrained), `"pruned"` (as it was cut, not retrained) or `"small"` (small tables that rows
            are made of, trained as they are).
        model, granularity, init: what was trained, and from which weights.
        budget: entries asked for; of a baseline all of them.
        nnz: entries that are not zero, of what the budget covers: the table, and with
            `prune_linear` the first-order weights.
        fraction: nnz / (N d), or with `prune_linear` nnz / (N (d + 1)).
        parameters: numbers in all: nnz, what the budget does not cover, tower.
        bytes: what these take when stored, with the indices of the non-zeros; see `stored_bytes`.
        validation_auc, validation_logloss, test_auc, test_logloss: exact, over the whole split.
        best_epoch, epochs, seconds: of the training.
        seed, dataset, split_md5, versions: what it takes to repeat the row.
        embedding_dim: width of the table that was trained.
        first_order, tower: the numbers in `parameters` that are not in the table.
        export_bytes: size of the exported model, all its files together; None without an export.
        content_md5: of what the rows hold, see `Identity`: equal ones are the same rows, whatever the
            file's name.
        data_md5: of the data's mapping, split and options, see `Identity`.
        method: how a smaller table was chosen, one of `pep_tf.training.METHODS`, or made, one of
            `pep_tf.tables.small.SCHEMES`.
        table_bytes: of the export, those of table and first-order weights: values, scales, and where
            they are.
        capped: whether the training ended with its epochs, the validation AUC still rising within
            its patience: more epochs might have given more.

    The last nine are None in results of versions that did not record them.
    """

    stage: str
    model: str
    granularity: str
    init: str
    budget: int
    nnz: int
    fraction: float
    parameters: int
    bytes: int
    validation_auc: float
    validation_logloss: float
    test_auc: float
    test_logloss: float
    best_epoch: int
    epochs: int
    seconds: float
    seed: int
    dataset: str
    split_md5: dict[str, str]
    versions: dict[str, str]
    embedding_dim: int | None = None
    first_order: int | None = None
    tower: int | None = None
    export_bytes: int | None = None
    content_md5: str | None = None
    data_md5: dict[str, str] | None = None
    method: str | None = None
    table_bytes: int | None = None
    capped: bool | None = None

    @classmethod
    def read(cls, found: Any) -> Self:
        """A row of a JSON file.

        Raises:
            ValueError: no object, one with a value that is missing or of another type, or one that has
                changed since it was written.
        """
        return typed.read(cls, with_content_md5(without_checksum(found)))


def with_content_md5(found: Any) -> Any:
    """What a JSON file has of data, as it is written now: `data_md5` held the content, too, before."""
    of_data = found.get("data_md5") if isinstance(found, dict) else None
    if not isinstance(of_data, dict) or "content" not in of_data:
        return found
    others = {name: md5 for name, md5 in of_data.items() if name != "content"}
    return {**found, "content_md5": of_data["content"], "data_md5": others}


@dataclasses.dataclass
class Results:
    """The rows of a run.

    Example:
        >>> Results.load("runs/movielens-fm-1").to_pandas()[["fraction", "test_auc"]]  # doctest: +SKIP
    """

    rows: list[Row]

    @classmethod
    def load(cls, run_dir: pathlib.Path | str) -> "Results":
        """Reads `results.json` of a run folder.

        Raises:
            RunError: no such file, or one that is not a list of rows.

        Example:
            >>> Results([]).save("runs/example")
            >>> Results.load("runs/example")
            Results(rows=[])
        """
        path = resolve(run_dir) / "results.json"
        try:
            return cls([Row.read(row) for row in json.loads(path.read_text("utf-8"))])
        except FileNotFoundError:
            raise RunError(
                f"{path} is missing: the run has not finished. Continue it with --resume."
            ) from None
        except (ValueError, TypeError, RecursionError) as error:
            raise RunError(f"{path} is damaged or of another version: {error}") from error

    def save(self, run_dir: pathlib.Path | str) -> None:
        """Writes `results.json`, whole or not at all."""
        rows = [with_checksum(dataclasses.asdict(row)) for row in self.rows]
        save_text(resolve(run_dir) / "results.json", json.dumps(rows, indent=2) + "\n")

    def to_pandas(self) -> "pd.DataFrame":
        """One line per row, one column for each attribute of `Row`.

        Raises:
            MissingExtra: pandas is not installed.

        Example:
            >>> len(Results([]).to_pandas())
            0
        """
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            raise missing(error, "Results.to_pandas") from None
        return pd.DataFrame([dataclasses.asdict(row) for row in self.rows])


def stored_bytes(nnz: int, entries: int, other_parameters: int) -> int:
    """Bytes of a model in float32, with every cost counted.

    Values of the non-zeros, first-order weights and tower at 4 bytes each, and the cheaper of the
    two plain ways to say where the non-zeros are: a bitmap over all entries, or one 32-bit index
    each. A full table needs neither.
    """
    where = 0 if nnz == entries else min(-(-entries // 8), 4 * nnz)
    return 4 * (nnz + other_parameters) + where
