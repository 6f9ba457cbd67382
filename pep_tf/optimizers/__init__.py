"""The two updates of a table, dense and rowwise, which are one algorithm."""

from pep_tf.optimizers.coupled_adam import CoupledAdam as CoupledAdam
from pep_tf.optimizers.hyper import Hyper as Hyper
from pep_tf.optimizers.rowwise_adam import RowwiseAdam as RowwiseAdam
