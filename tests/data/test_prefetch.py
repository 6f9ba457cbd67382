"""An iterator that goes away must not wait for tf.data's tuning of parallelism: it is off."""

from pep_tf.data.store.windows import into_batches
from pep_tf.data.synthetic import SyntheticSplit
from pep_tf.data.synthetic.row_source import RowSource
from tests import tiny


def test_no_stream_of_batches_tunes_its_parallelism():
    batches = tiny.DATA.train.batches(32)
    made = SyntheticSplit(RowSource("avazu", 300, seed=7), 0, 300).batches(100)
    for stream in (batches, made, into_batches(batches, 16)):
        assert stream.options().autotune.enabled is False
