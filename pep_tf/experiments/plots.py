"""The picture of a run: test AUC against parameters kept."""

import pathlib

import matplotlib

matplotlib.use("Agg")  # no screen is needed
import matplotlib.pyplot as plt

from pep_tf.experiments.results import Results

# Okabe and Ito's palette: told apart by colour-blind readers as well.
_BLUE, _ORANGE = "#0072B2", "#D55E00"


def plot_frontier(results: Results, path: pathlib.Path) -> None:
    """Draws test AUC against the share of the table that is kept, with the baseline beside it.

    Args:
        results: rows of a run, a baseline among them.
        path: PNG to write.
    """
    baseline = next(row for row in results.rows if row.stage == "baseline")
    tickets = sorted((r for r in results.rows if r.stage != "baseline"), key=lambda r: r.nnz)
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    axes.axhline(baseline.test_auc, color=_ORANGE, linestyle="--", linewidth=1)
    axes.plot(
        [baseline.nnz], [baseline.test_auc], "s", color=_ORANGE, label="uniform table (baseline)"
    )
    kind = "tickets, retrained" if tickets and tickets[0].stage == "ticket" else "tickets as cut"
    axes.plot(
        [max(t.nnz, 1) for t in tickets],
        [t.test_auc for t in tickets],
        "o-",
        color=_BLUE,
        label=kind,
    )
    for row in tickets:
        axes.annotate(
            f"{100 * row.fraction:.3g} %",
            (max(row.nnz, 1), row.test_auc),
            textcoords="offset points",
            xytext=(0, 8),
            ha="center",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.set_xlabel("embedding parameters kept (log scale; labels: share of the table)")
    axes.set_ylabel("test AUC")
    axes.set_title(
        f"{baseline.dataset}, {baseline.model}: {baseline.nnz:,} embedding parameters before pruning",
        fontsize=10,
    )
    axes.margins(y=0.15)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)
    plt.close(figure)
