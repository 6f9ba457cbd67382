"""Criteo and Avazu click logs: raw text, transforms, prepared stores, streams."""

from pep_tf.data.clicklogs.build import ClickLogOptions as ClickLogOptions
from pep_tf.data.clicklogs.encoding import HashEncoding as HashEncoding
from pep_tf.data.clicklogs.encoding import VocabularyEncoding as VocabularyEncoding
from pep_tf.data.clicklogs.formats import AVAZU as AVAZU
from pep_tf.data.clicklogs.formats import CRITEO as CRITEO
from pep_tf.data.clicklogs.load import load_avazu as load_avazu
from pep_tf.data.clicklogs.load import load_criteo as load_criteo
from pep_tf.data.clicklogs.load import load_transform as load_transform
from pep_tf.data.clicklogs.transform import Transform as Transform
from pep_tf.registry import renamed

__getattr__ = renamed(__name__, {"Options": ClickLogOptions})
