"""Searches for threshold settings: KerasTuner over the pruning stage."""

from pep_tf.tuning.oracles import ALGORITHMS as ALGORITHMS
from pep_tf.tuning.record import Search as Search
from pep_tf.tuning.run import Options as Options
from pep_tf.tuning.run import tune as tune
from pep_tf.tuning.score import Objective as Objective
from pep_tf.tuning.space import PruningHyperModel as PruningHyperModel
