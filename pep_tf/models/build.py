"""A model by its name, with a PEP embedding: what the command line and the examples use."""

from collections.abc import Mapping
from typing import Any

import keras

from pep_tf.layers import FieldIds, PEPEmbedding
from pep_tf.models.autoint import AutoInt
from pep_tf.models.base import CTRModel, first_order_weights
from pep_tf.models.deepfm import DeepFM
from pep_tf.models.fm import FM
from pep_tf.models.linear import Linear

MODELS = ("fm", "deepfm", "autoint", "linear")
LINEAR_AND_MORE = ("fm", "deepfm")  # models with first-order weights beside an embedding


def build_model(
    name: str,
    fields: Mapping[str, int],
    *,
    embedding_dim: int = 64,
    granularity: str = "feature_dim",
    threshold_init: float = -15.0,
    pruning: str = "threshold",
    prune_linear: bool = False,
    seed: int = 0,
    mlp_widths: tuple[int, ...] = (100, 100),
    dropout: float = 0.2,
    attention: Mapping[str, Any] | None = None,
    embedding: keras.layers.Layer | None = None,
    table_device: str | None = None,
) -> CTRModel:
    """Builds FM, DeepFM, AutoInt or Linear with weights that depend on `seed` alone.

    Args:
        name: `"fm"`, `"deepfm"`, `"autoint"` or `"linear"` (which has no embedding).
        fields: `{field name: vocabulary size}`, in column order.
        embedding_dim, granularity, threshold_init, pruning: see `PEPEmbedding`.
        prune_linear: prunes the first-order weights of FM and DeepFM as well, with thresholds of
            their own; budgets then cover both tables. They start by Xavier's rule instead of at 0.
        seed: of all initial weights; sets Keras's global seed.
        mlp_widths, dropout: see `MLP`; used by DeepFM and AutoInt.
        attention: see `AutoInt`.
        embedding: a layer to use in place of a new `PEPEmbedding`.
        table_device: where the tables are kept, as `tf.device` names it; None leaves that to
            TensorFlow. `"CPU"` is for tables that do not fit the GPU: moments stay beside them, and
            the GPU receives the rows of each batch.

    Returns:
        A built model.

    Raises:
        ValueError: an unknown name, `prune_linear` for a model other than FM and DeepFM, or what the
            layers refuse.
    """
    if name not in MODELS:
        raise ValueError(f"`name` must be one of {list(MODELS)}. Received: {name!r}")
    if prune_linear and name not in LINEAR_AND_MORE:
        raise ValueError(
            f"`prune_linear` must be given to one of {list(LINEAR_AND_MORE)}. Received: {name!r}"
        )
    keras.utils.set_random_seed(seed)
    pruned: dict[str, Any] = {
        "granularity": granularity,
        "threshold_init": threshold_init,
        "pruning": pruning,
        "field_sizes": tuple(fields.values()),
    }
    if name == "linear":
        model: CTRModel = Linear(fields)
    else:
        embedding = embedding or PEPEmbedding(
            FieldIds(fields).num_features, embedding_dim, name="embedding", **pruned
        )
        linear = first_order_weights(fields, **pruned) if prune_linear else None
        mlp: dict[str, Any] = {"mlp_widths": mlp_widths, "dropout": dropout}
        if name == "fm":
            model = FM(fields, embedding, linear)
        elif name == "deepfm":
            model = DeepFM(fields, embedding, linear, **mlp)
        else:
            model = AutoInt(fields, embedding, **mlp, attention=attention)
    model.table_device = table_device
    model.build()
    return model
