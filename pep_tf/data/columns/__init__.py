"""Data of your own: columns of a table, declared by their kind, to a data set ready to train on."""

from pep_tf.data.columns.declared import is_own as is_own
from pep_tf.data.columns.declared import load_own as load_own
from pep_tf.data.columns.declared import name_of as name_of
from pep_tf.data.columns.declared import own_store as own_store
from pep_tf.data.columns.files import from_files as from_files
from pep_tf.data.columns.from_dataframe import from_dataframe as from_dataframe
from pep_tf.data.columns.kinds import KINDS as KINDS
from pep_tf.data.columns.table_files import ENDINGS as ENDINGS
