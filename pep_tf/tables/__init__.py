"""Tables with one row per feature: what the embedding layers stand on and the optimizers work for."""

from pep_tf.tables.granularity import GRANULARITIES as GRANULARITIES
from pep_tf.tables.granularity import Granularity as Granularity
from pep_tf.tables.granularity import granularity_of as granularity_of
from pep_tf.tables.pull import Pull as Pull
from pep_tf.tables.row_table import BLOCK_ENTRIES as BLOCK_ENTRIES
from pep_tf.tables.row_table import THRESHOLDS as THRESHOLDS
from pep_tf.tables.row_table import Found as Found
from pep_tf.tables.row_table import Keeper as Keeper
from pep_tf.tables.row_table import RowTable as RowTable
from pep_tf.tables.row_variable import RowVariable as RowVariable
from pep_tf.tables.soft_threshold import soft_threshold as soft_threshold
