"""How the study judges a ticket, by hand."""

import numpy as np
import pytest

from experiments.synthetic_criteo import CONFIG, shares
from pep_tf.data.synthetic.store import Planted
from pep_tf.experiments.config import make_config


def test_the_configuration_is_one():
    assert make_config("synthetic-criteo", 16_000_000, CONFIG).threshold_init == -25.0


def test_shares_by_hand():
    frequency = np.array([0.5, 0.5, 0.5, 2e-5, 2e-5, 2e-3, 2e-3, 2e-4, 2e-4, 1e-7])
    useful = np.array([2, 0, 1, 1, 0, 1, 0, 1, 0, 0])
    row_dims = np.array([3, 1, 0, 1, 1, 0, 0, 4, 0, 2])
    found = shares(row_dims, Planted(frequency, useful), dim=4)
    # Room for 2 of 2, 0 of 1, 1 of 1, 0 of 1, 1 of 1.
    assert found["planted"] == pytest.approx(4 / 6)
    # Beyond: 1, 1, 0, 0, 1, 0, 0, 3, 0, 2 of 40 entries less 6.
    assert found["not_planted"] == pytest.approx(8 / 34)
    assert found["not_planted_frequent"] == pytest.approx(6 / 30)
    rare, middle, frequent, most = found["bands"]
    assert rare["order"] == 0.5  # a tie
    assert middle["order"] == 1.0
    assert frequent["useful"] == {"rows": 1, "rows_kept": 0.0, "entries_kept": 0.0}
    assert most["order"] == pytest.approx(0.5)  # 3 against 1, 0 against 1
    assert most["useful"] == {"rows": 2, "rows_kept": 0.5, "entries_kept": 3 / 8}
