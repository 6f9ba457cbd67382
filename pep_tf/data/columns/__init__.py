"""Data of your own: columns of a table, declared by their kind, to a data set ready to train on."""

from pep_tf.data.columns.from_dataframe import from_dataframe as from_dataframe
from pep_tf.data.columns.kinds import KINDS as KINDS
