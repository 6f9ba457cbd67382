"""The frontier plot of a run."""

import pathlib

import matplotlib.image
import pytest

from pep_tf.experiments.plots import plot_frontier
from pep_tf.experiments.results import Results

STORED = pathlib.Path(__file__).resolve().parents[2] / "experiments/results/movielens_1m"


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_draws_a_baseline_with_any_number_of_tickets(rows, tmp_path):
    results = Results(Results.load(STORED).rows[:rows])
    plot_frontier(results, tmp_path / "frontier.png")
    image = matplotlib.image.imread(tmp_path / "frontier.png")
    assert image.shape[0] > 400
    assert image.std() > 0.05
