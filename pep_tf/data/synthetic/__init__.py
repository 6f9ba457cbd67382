"""Synthetic click logs of Criteo's or Avazu's shape; imported when they are asked for."""

from pep_tf.data.synthetic.splits import SyntheticSplit as SyntheticSplit
from pep_tf.data.synthetic.splits import synthetic as synthetic
from pep_tf.data.synthetic.text import write_raw_text as write_raw_text
