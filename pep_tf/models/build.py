"""A model by its name, with a PEP embedding: what the command line and the examples use."""

from collections.abc import Mapping
from typing import Any

import keras

from pep_tf.layers import FieldIds, PEPEmbedding
from pep_tf.models.autoint import AutoInt
from pep_tf.models.base import CTRModel
from pep_tf.models.deepfm import DeepFM
from pep_tf.models.fm import FM
from pep_tf.models.linear import Linear

MODELS = ("fm", "deepfm", "autoint", "linear")


def build_model(
    name: str,
    fields: Mapping[str, int],
    *,
    embedding_dim: int = 64,
    granularity: str = "feature_dim",
    threshold_init: float = -15.0,
    pruning: str = "threshold",
    seed: int = 0,
    mlp_widths: tuple[int, ...] = (100, 100),
    dropout: float = 0.2,
    attention: Mapping[str, Any] | None = None,
    embedding: keras.layers.Layer | None = None,
) -> CTRModel:
    """Builds FM, DeepFM, AutoInt or Linear with weights that depend on `seed` alone.

    Args:
        name: `"fm"`, `"deepfm"`, `"autoint"` or `"linear"` (which has no embedding).
        fields: `{field name: vocabulary size}`, in column order.
        embedding_dim, granularity, threshold_init, pruning: see `PEPEmbedding`.
        seed: of all initial weights; sets Keras's global seed.
        mlp_widths, dropout: see `MLP`; used by DeepFM and AutoInt.
        attention: see `AutoInt`.
        embedding: a layer to use in place of a new `PEPEmbedding`.

    Returns:
        A built model.

    Raises:
        ValueError: an unknown name, or what the layers refuse.
    """
    if name not in MODELS:
        raise ValueError(f"`name` must be one of {list(MODELS)}. Received: {name!r}")
    keras.utils.set_random_seed(seed)
    model = _model(
        name,
        fields,
        lambda: (
            embedding
            or PEPEmbedding(
                FieldIds(fields).num_features,
                embedding_dim,
                granularity=granularity,
                threshold_init=threshold_init,
                pruning=pruning,
                field_sizes=tuple(fields.values()),
                name="embedding",
            )
        ),
        {"mlp_widths": mlp_widths, "dropout": dropout},
        attention,
    )
    model.build()
    return model


def _model(name: str, fields: Any, embedding: Any, mlp: dict[str, Any], attention: Any) -> CTRModel:
    if name == "linear":
        return Linear(fields)
    if name == "fm":
        return FM(fields, embedding())
    if name == "deepfm":
        return DeepFM(fields, embedding(), **mlp)
    return AutoInt(fields, embedding(), **mlp, attention=attention)
