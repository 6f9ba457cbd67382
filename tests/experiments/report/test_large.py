"""A page of a table with 2 million features: summed up, not drawn point by point."""

import time

import numpy as np

from pep_tf.data import FeatureSchema
from pep_tf.experiments.feature_counts import save_feature_counts
from pep_tf.experiments.report import write_report
from pep_tf.experiments.results import stored_bytes
from tests.experiments.report import folders

FIELDS = {f"C{i}": 50_000 for i in range(39)} | {"last": 50_000}
FEATURES, DIM = sum(FIELDS.values()), 24


def test_two_million_features_take_less_than_ten_seconds(tmp_path):
    assert FEATURES == 2_000_000
    folder = folders.write_run(tmp_path, _rows())
    for path in (folder / "tickets").glob("*.safetensors"):
        path.unlink()
    rng = np.random.default_rng(0)
    counts = (rng.pareto(0.8, FEATURES) * 3).astype(np.int64)
    save_feature_counts(folder / "feature_counts.safetensors", FeatureSchema.of(FIELDS), counts)
    for budget in (20, 5, 1):
        mask = rng.random((FEATURES, DIM), np.float32) < budget / 100
        folders.write_ticket(folder, mask, FIELDS)
    started = time.process_time()  # of the processor: other tests may keep the machine busy
    page = write_report([folder])
    assert time.process_time() - started < 10
    assert page.stat().st_size < 600_000


def _rows():
    entries = FEATURES * DIM
    rows = [folders.row(budget=entries, nnz=entries, embedding_dim=DIM, dataset="synthetic-criteo")]
    for share, auc in ((0.2, 0.79), (0.05, 0.788), (0.01, 0.78)):
        nnz = round(share * entries)
        size = {"parameters": nnz, "bytes": stored_bytes(nnz, entries, 0)}
        rows.append(folders.ticket_row(nnz, auc, fraction=share, **size))
    return rows
