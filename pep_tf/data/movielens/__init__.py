"""MovieLens: its sets as declarations (`forms.py`), and the features that the paper makes of one."""

from pep_tf.data.movielens.load import DATA_SETS as DATA_SETS
from pep_tf.data.movielens.load import FEATURES as FEATURES
