"""The data set of a run, as its seed splits it."""

import os
from typing import Any

from pep_tf import data as datasets
from pep_tf.data import CTRData


def load_for_seed(
    dataset: str,
    *,
    data_dir: str | os.PathLike[str] | None,
    seed: int,
    first_seed: int | None = None,
    **options: Any,
) -> CTRData:
    """Loads the data set of a run with this seed.

    A prepared store keeps the split that it has, whatever the seed of the run; the seed is then of
    weights and order alone.

    Args:
        dataset, data_dir, **options: see `pep_tf.data.load`.
        seed: of the run.
        first_seed: of a run over several seeds the first one, which names the rows of a store of
            synthetic data; `seed` where it is not given.

    Raises:
        DataError: as `pep_tf.data.load`.
    """
    split_seed: int | None = seed
    if datasets.has_own_split(dataset, data_dir):
        rows_seed = seed if first_seed is None else first_seed
        split_seed = rows_seed if dataset.startswith("synthetic-") else None
    return datasets.load(dataset, data_dir=data_dir, seed=split_seed, **options)


def fallback_line(data: CTRData) -> str:
    """That another data set is used than the one asked for, and how to name it; empty if it is not."""
    line = data.details.get("fallback")
    return (
        f"{line} --dataset={data.name} gives the rows of this run on any machine." if line else ""
    )
