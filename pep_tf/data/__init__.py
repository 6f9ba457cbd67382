"""Data sets: feature schemas, readers, `tf.data` streams."""

from typing import TYPE_CHECKING

from pep_tf.data.arrays import from_arrays as from_arrays
from pep_tf.data.dataset import ArraySplit as ArraySplit
from pep_tf.data.dataset import CTRData as CTRData
from pep_tf.data.dataset import Split as Split
from pep_tf.data.identity import Identity as Identity
from pep_tf.data.schema import FeatureSchema as FeatureSchema
from pep_tf.data.schema import Field as Field
from pep_tf.data.split import random_split as random_split
from pep_tf.data.split import split_arrays as split_arrays
from pep_tf.extras import lazily

if TYPE_CHECKING:
    from pep_tf.data.columns import from_files as from_files
    from pep_tf.data.columns.from_dataframe import from_dataframe as from_dataframe
    from pep_tf.data.datasets import DATA_SETS as DATA_SETS
    from pep_tf.data.datasets import has_own_split as has_own_split
    from pep_tf.data.datasets import load as load
    from pep_tf.data.datasets import register as register

# Readers of files and tables are imported when they are asked for: they need more packages.
__getattr__ = lazily(
    __name__,
    {
        "from_dataframe": "pep_tf.data.columns",
        "from_files": "pep_tf.data.columns",
        "DATA_SETS": "pep_tf.data.datasets",
        "has_own_split": "pep_tf.data.datasets",
        "load": "pep_tf.data.datasets",
        "register": "pep_tf.data.datasets",
    },
)
