"""Keras layers, one per file."""

from pep_tf.layers.batch_norm import BatchNorm as BatchNorm
from pep_tf.layers.cross import Cross as Cross
from pep_tf.layers.factorization_machine import FactorizationMachine as FactorizationMachine
from pep_tf.layers.field_attention import FieldAttention as FieldAttention
from pep_tf.layers.field_ids import FieldIds as FieldIds
from pep_tf.layers.mlp import MLP as MLP
from pep_tf.layers.packed_embedding import PackedEmbedding as PackedEmbedding
from pep_tf.layers.pep_embedding import PEPEmbedding as PEPEmbedding
from pep_tf.layers.pep_embedding import PEPRows as PEPRows
from pep_tf.layers.shared_rows import look_up_together as look_up_together
from pep_tf.layers.shared_rows import share_rows as share_rows
from pep_tf.layers.small_embedding import SmallEmbedding as SmallEmbedding
from pep_tf.layers.table_layer import COMBINERS as COMBINERS
from pep_tf.layers.table_layer import TableLayer as TableLayer
from pep_tf.layers.table_layer import build_optimizer as build_optimizer
from pep_tf.layers.ticket_embedding import TicketEmbedding as TicketEmbedding
from pep_tf.registry import renamed
from pep_tf.tables import GRANULARITIES as GRANULARITIES
from pep_tf.tables import Granularity as Granularity
from pep_tf.tables import soft_threshold as soft_threshold

__getattr__ = renamed(__name__, {"Rows": PEPRows})
