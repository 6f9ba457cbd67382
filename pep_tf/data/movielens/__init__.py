"""MovieLens: its sets as declarations (`forms.py`), and the features that the paper makes of one."""

from pep_tf.data.movielens.load import FEATURES as FEATURES
from pep_tf.data.movielens.load import LOADERS as LOADERS
from pep_tf.data.movielens.load import is_store as is_store
