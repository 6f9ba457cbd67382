"""Prune, ticket, retrain: the training loop and what surrounds it."""

from pep_tf.training.backup import Backup as Backup
from pep_tf.training.budgets import resolve_budgets as resolve_budgets
from pep_tf.training.fit import FitResult as FitResult
from pep_tf.training.fit import fit as fit
from pep_tf.training.memory_pool import use_memory_pool as use_memory_pool
from pep_tf.training.methods import METHODS as METHODS
from pep_tf.training.metrics import Evaluator as Evaluator
from pep_tf.training.metrics import Metrics as Metrics
from pep_tf.training.progress import Reporter as Reporter
from pep_tf.training.progress import Silent as Silent
from pep_tf.training.prunable import prunable as prunable
from pep_tf.training.prune import PruneResult as PruneResult
from pep_tf.training.prune import prune as prune
from pep_tf.training.prune_callback import PruneCallback as PruneCallback
from pep_tf.training.settings import Settings as Settings
from pep_tf.training.ticket import Ticket as Ticket
from pep_tf.training.trained_on import note_trained_on as note_trained_on
from pep_tf.training.trained_on import refuse_other_data as refuse_other_data
from pep_tf.training.trained_on import refuse_to_resume as refuse_to_resume
from pep_tf.training.trained_on import trained_on as trained_on
