import numpy as np
import pytest

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
