import json

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import serving
from benchmarks.serving_model import MadeUpTicket


@pytest.mark.parametrize("kept", [0.01, 0.1])
def test_the_made_up_ticket_keeps_what_it_says_and_more_of_the_frequent(kept):
    ticket = MadeUpTicket.of(20_000, 16, kept, steepness=1.5)
    table = np.concatenate(list(ticket.blocks()))
    assert table.shape == (20_000, 16)
    assert ticket.schema.num_features == 20_000
    assert ticket.schema.num_fields == 39
    np.testing.assert_array_equal(np.count_nonzero(table, axis=1), ticket.counts)
    assert (table != 0).mean() == pytest.approx(kept, rel=0.05)
    assert (ticket.counts == 0).mean() > 0.25
    frequent = [
        ticket.counts[o + ids[0]]
        for o, ids in zip(ticket.schema.offsets, ticket.by_frequency, strict=True)
    ]
    assert np.mean(frequent) > 5 * ticket.counts.mean()
    first_order = ticket.first_order(kept)
    assert np.count_nonzero(first_order) == int(kept * 20_000)


@pytest.mark.parametrize("uniform", [False, True])
def test_ids_are_in_their_fields(uniform):
    ticket = MadeUpTicket.of(5000, 8, 0.1, 1.5)
    ids = ticket.ids(300, np.random.default_rng(0), uniform)
    assert ids.shape == (300, 39)
    assert ids.dtype == np.int32
    assert (ids >= 0).all()
    assert (ids < ticket.schema.sizes).all()


def test_raw_rows_have_ids_of_the_schema_and_some_are_frequent():
    ticket = MadeUpTicket.of(5000, 8, 0.1, 1.5)
    transform = ticket.transform()
    assert transform.schema.sizes == ticket.schema.sizes
    raw = ticket.raw(300, np.random.default_rng(0))
    assert raw.keys() == transform.raw_columns().keys()
    ids = transform({name: tf.constant(values) for name, values in raw.items()}).numpy()
    assert ((ids >= 0) & (ids < ticket.schema.sizes)).all()
    _, counts = np.unique(ids[:, -1], return_counts=True)
    assert counts.max() > 20


@pytest.mark.slow
def test_prints_sizes_memory_and_latency_of_every_form(tmp_path, capsys):
    small = ["--num_features=60000", "--dim=32", "--kept=0.1", "--seconds=0"]
    serving.main([*small, f"--folder={tmp_path}"])
    report = json.loads(capsys.readouterr().out)
    for form in serving.FORMS:
        for key in ("load_rss_mb", "p50_ms_batch_1", "p99_ms_batch_1024"):
            assert key in report[form]
    for more in ("uniform_ids", "serving_default", "fm", "lookup"):
        assert report[more]["packed"]["p50_over_dense_batch_32"] > 0
    assert report["bound_bytes"] < report["packed_bytes"] < report["dense_table_bytes"]
    assert report["saved_model_bytes"] < report["dense_saved_model_bytes"]
