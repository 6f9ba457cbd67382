"""Pruned tables in few bytes: how they are stored, and how their rows are decoded on lookup."""

from pep_tf.tables.packed.dense_table import DenseTable as DenseTable
from pep_tf.tables.packed.entries import Entries as Entries
from pep_tf.tables.packed.field_table import FieldTable as FieldTable
from pep_tf.tables.packed.pack import FORMS as FORMS
from pep_tf.tables.packed.pack import pack as pack
from pep_tf.tables.packed.packed_table import PackedTable as PackedTable
from pep_tf.tables.packed.shared_lookup import shared_lookup as shared_lookup
from pep_tf.tables.packed.stepped_table import SteppedTable as SteppedTable
from pep_tf.tables.packed.stored_table import StoredTable as StoredTable
from pep_tf.tables.packed.values import DTYPES as DTYPES
