"""Click-through models, one per file."""

from pep_tf.models.autoint import AutoInt as AutoInt
from pep_tf.models.base import CTRModel as CTRModel
from pep_tf.models.build import build_model as build_model
from pep_tf.models.dcn import DCN as DCN
from pep_tf.models.deepfm import DeepFM as DeepFM
from pep_tf.models.fm import FM as FM
from pep_tf.models.linear import Linear as Linear
from pep_tf.models.registry import MODELS as MODELS
from pep_tf.models.registry import models_with as models_with
from pep_tf.models.registry import options_among as options_among
from pep_tf.models.registry import register as register
