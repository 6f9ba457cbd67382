"""A run repeated over seeds: one ordinary run folder for each seed, below the run's own."""

import dataclasses
import pathlib
from collections.abc import Callable

import keras

from pep_tf.data import CTRData
from pep_tf.experiments.config import Config
from pep_tf.experiments.results import Results
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.training import Reporter


def seed_folder(run_dir: pathlib.Path, seed: int) -> pathlib.Path:
    """The folder of the run with this seed."""
    return run_dir / "seeds" / str(seed)


def run_seeds(
    config: Config,
    load: Callable[[int], CTRData],
    folder: RunFolder,
    reporter: Callable[[str, pathlib.Path], Reporter],
    finished: Callable[[pathlib.Path], object],
) -> Results:
    """Does the run once per seed, from `config.seed` on, and keeps the rows of all in `folder`.

    Args:
        config: what to compute; `config.seeds` times.
        load: the data set as the seed splits it.
        folder: of the whole; each repetition is `seeds/<seed>/` below it.
        reporter: makes the reporter of one repetition from a prefix and its folder.
        finished: called with the folder of each repetition that is done.
    """
    rows = []
    for seed in range(config.seed, config.seed + config.seeds):
        keras.backend.clear_session()  # the models of the last seed
        once = dataclasses.replace(config, seed=seed, seeds=1)
        data = load(seed)
        part = RunFolder(seed_folder(folder.path, seed))
        part.open(dataclasses.asdict(once), data, resume=part.begun)
        rows += Run(once, data, part, reporter(f"seed {seed}, ", part.path))().rows
        finished(part.path)
    results = Results(rows)
    results.save(folder.path)
    return results
