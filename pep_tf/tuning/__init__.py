"""Searches for threshold settings: KerasTuner over the pruning stage."""

# ruff: noqa: E402 - the imports below are those of packages that may be missing.
from pep_tf.extras import require

require("a search", "data", "search")

from pep_tf.experiments.search_record import Search as Search
from pep_tf.registry import renamed
from pep_tf.tuning.oracles import ALGORITHMS as ALGORITHMS
from pep_tf.tuning.run import SearchOptions as SearchOptions
from pep_tf.tuning.run import tune as tune
from pep_tf.tuning.score import Objective as Objective
from pep_tf.tuning.space import PruningHyperModel as PruningHyperModel

__getattr__ = renamed(__name__, {"Options": SearchOptions})
