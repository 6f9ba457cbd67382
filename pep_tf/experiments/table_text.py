"""The results of a run as a table for a terminal."""

from collections.abc import Callable

import pandas as pd

from pep_tf.experiments import text
from pep_tf.experiments.results import Results
from pep_tf.experiments.summary import Line, lines_of, spread_over


def table_text(results: Results) -> str:
    """One line per trained table: means over the seeds, AUC and logloss with standard deviation."""
    lines = lines_of(results.rows)
    columns: dict[str, Callable[[Line], str]] = {
        "kept": lambda x: text.count(x.mean("nnz")),
        "of table": lambda x: f"{x.mean('fraction') or 0:.2%}",
        "parameters": lambda x: text.count(x.mean("parameters")),
        "bytes": lambda x: text.count(x.mean("bytes")),
        "exported": lambda x: text.count(x.mean("export_bytes")),
        "val AUC": lambda x: _with_spread(x, "validation_auc"),
        "test AUC": lambda x: _with_spread(x, "test_auc"),
        "logloss": lambda x: _with_spread(x, "test_logloss"),
        "epochs": lambda x: (
            f"{'*' * x.capped}{x.mean('best_epoch') or 0:.0f}/{x.mean('epochs') or 0:.0f}"
        ),
        "time": lambda x: text.duration(x.mean("seconds")),
    }
    frame = pd.DataFrame({name: [of(line) for line in lines] for name, of in columns.items()})
    names = [line.label.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
    width = max(map(len, names))
    frame.insert(0, "table".ljust(width), [name.ljust(width) for name in names])
    over = spread_over(results.rows)
    capped = "* best epoch at the cap: more --epochs might give more" * any(
        line.capped for line in lines
    )
    return "\n".join(filter(None, [frame.to_string(index=False, justify="right"), over, capped]))


def _with_spread(line: Line, name: str) -> str:
    spread = line.spread(name)
    return text.auc(line.mean(name)) + ("" if spread is None else f" ± {spread:.4f}")
