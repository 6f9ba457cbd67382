"""An iterator that goes away must not wait for tf.data's tuning of parallelism: it is off."""

from pathlib import Path

from pep_tf.data.store.splits import StoreSplit
from pep_tf.data.synthetic import SyntheticSplit
from pep_tf.data.synthetic.row_source import RowSource
from tests import tiny


def test_no_stream_of_batches_tunes_its_parallelism():
    made = SyntheticSplit(RowSource("avazu", 300, seed=7), 0, 300)
    stored = StoreSplit([Path("no file is opened")], [[300]], 2, md5="")
    for split in (tiny.DATA.train, made, stored):
        assert split.batches(32).options().autotune.enabled is False
