"""Which rows results were trained and scored on, and so what their spread and comparison mean."""

from collections.abc import Sequence

from pep_tf.experiments.results import Row


def distinct_rows(rows: Sequence[Row]) -> int:
    """How many different sets of training, validation and test rows there are among results.

    They are told apart by the digests of content and split; where a result has none, of versions that
    recorded none, by the md5 of the row numbers.
    """
    if all({"content", "split"} <= set(row.data_md5 or ()) for row in rows):
        digests = (row.data_md5 or {} for row in rows)
        return len({(digest["content"], digest["split"]) for digest in digests})
    return len({tuple(sorted(row.split_md5.items())) for row in rows})


def spread_over(rows: Sequence[Row]) -> str:
    """What the standard deviation over the seeds is over, in a sentence; empty with one seed."""
    seeds = len({row.seed for row in rows})
    if seeds < 2:
        return ""
    splits = distinct_rows(rows)
    if splits == 1:
        return (
            f"All {seeds} seeds share one split: the spread is over initial weights, order and dropout "
            "alone."
        )
    if splits == seeds:
        return "Each seed has a split, initial weights and an order of its own."
    return f"The {seeds} seeds have {splits} different sets of rows."
