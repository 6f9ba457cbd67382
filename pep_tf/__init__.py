"""pep_tf: learnable embedding sizes (PEP) for Keras 3 and TensorFlow."""

import os
import pathlib
import sys

from pep_tf.notices import OF_THE_IMPORT, lines_without

# Where a command of this package starts (`python -m pep_tf. ...` or `pep-tf ...`) TensorFlow's notices
# and warnings are left out of what it prints, its errors not. Whoever imports the package has them all,
# and so has a command with the variable at 0.
_command = sys.argv and (sys.argv[0] == "-m" or pathlib.Path(sys.argv[0]).stem == "pep-tf")
if _command and os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") != "0":
    with lines_without(*OF_THE_IMPORT):
        import tensorflow as _  # noqa: F401

# ruff: noqa: E402 - the imports below load TensorFlow, which reads the variable above.
from pep_tf import data as data
from pep_tf import layers as layers
from pep_tf import models as models
from pep_tf.api import export as export
from pep_tf.api import prune as prune
from pep_tf.data import CTRData as CTRData
from pep_tf.data import FeatureSchema as FeatureSchema
from pep_tf.errors import PepError as PepError
from pep_tf.experiments.results import Results as Results
from pep_tf.export.pack_model import packed as packed
from pep_tf.layers import PackedEmbedding as PackedEmbedding
from pep_tf.layers import PEPEmbedding as PEPEmbedding
from pep_tf.layers import TicketEmbedding as TicketEmbedding
from pep_tf.models import build_model as build_model
from pep_tf.optimizers import CoupledAdam as CoupledAdam
from pep_tf.optimizers import RowwiseAdam as RowwiseAdam
from pep_tf.registry import renamed
from pep_tf.training import Backup as Backup
from pep_tf.training import PruneCallback as PruneCallback
from pep_tf.training import Settings as Settings
from pep_tf.training import Ticket as Ticket
from pep_tf.training import prunable as prunable
from pep_tf.version import __version__ as __version__

__all__ = [
    "Backup",
    "CTRData",
    "CoupledAdam",
    "FeatureSchema",
    "PEPEmbedding",
    "PackedEmbedding",
    "PepError",
    "PruneCallback",
    "Results",
    "RowwiseAdam",
    "Settings",
    "Ticket",
    "TicketEmbedding",
    "build_model",
    "data",
    "export",
    "layers",
    "models",
    "packed",
    "prunable",
    "prune",
]

__getattr__ = renamed(__name__, {"export_model": export})
