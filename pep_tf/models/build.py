"""A model by its name, with a PEP embedding: what the command line and the examples use."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from pep_tf.layers import FieldIds, PEPEmbedding
from pep_tf.models.base import CTRModel, first_order_weights
from pep_tf.models.registry import arguments_of, model_class, models_with, options_of
from pep_tf.seeding import seeded


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
    embedding: keras.layers.Layer | None = None,
    table_device: str | None = None,
    dtype: Any = None,
    **options: Any,
) -> CTRModel:
    """Builds a model of `pep_tf.models` with weights that depend on `seed` alone.

    Args:
        name: `"fm"`, `"deepfm"`, `"dcn"`, `"autoint"` or `"linear"` (which has no embedding).
        fields: `{field name: vocabulary size}`, in column order.
        embedding_dim, granularity, threshold_init, pruning: see `PEPEmbedding`.
        prune_linear: prunes the first-order weights of FM and DeepFM as well, with thresholds of
            their own; budgets then cover both tables. They start by Xavier's rule instead of at 0.
        seed: of all initial weights; sets the seeds of Keras and TensorFlow, no others.
        embedding: a layer to use in place of a new `PEPEmbedding`.
        table_device: where the tables are kept, as `tf.device` names it; None leaves that to
            TensorFlow. `"CPU"` is for tables that do not fit the GPU: moments stay beside them, and
            the GPU receives the rows of each batch.
        dtype: dtype policy of the model, such as `"mixed_bfloat16"`; None takes Keras's global one.
        **options: other arguments of the model's class, for example `mlp_widths` and `dropout`.

    Returns:
        A built model.

    Raises:
        ValueError: an unknown name, what that model does not take, what has no effect beside
            `embedding` or `pruning`, or what the layers refuse.

    Example:
        >>> build_model("dcn", {"gender": 2, "age": 7}, embedding_dim=4, cross_layers=2)
        <DCN name=dcn..., built=True>
    """
    pruned: dict[str, Any] = {
        "granularity": granularity,
        "threshold_init": threshold_init,
        "pruning": pruning,
    }
    _check(name, options, embedding, prune_linear)
    _check_effects(name, {"embedding_dim": embedding_dim, **pruned}, embedding, prune_linear)
    pruned |= {"field_sizes": FieldIds(fields).sizes, "dtype": dtype}
    tables: dict[str, keras.layers.Layer] = {}
    with seeded(seed):
        if "embedding" in arguments_of(name):
            tables["embedding"] = embedding or PEPEmbedding(
                FieldIds(fields).num_features, embedding_dim, name="embedding", **pruned
            )
        if prune_linear:
            tables["first_order"] = first_order_weights(fields, **pruned)
        model = model_class(name)(fields, **tables, dtype=dtype, **options)
        model.table_device = table_device
        model.build()
    return model


def _check(
    name: str,
    options: Mapping[str, Any],
    embedding: keras.layers.Layer | None,
    prune_linear: bool,
) -> None:
    """Refuses arguments that the model of that name does not take."""
    known = options_of(name)
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"Options of {name!r} must be among {list(known)}. Received: {unknown}")
    if embedding is not None and name not in models_with("embedding"):
        raise ValueError(
            f"`embedding` must be given to one of {list(models_with('embedding'))}. "
            f"Received: {name!r}"
        )
    both = models_with("embedding", "first_order")
    if prune_linear and name not in both:
        raise ValueError(f"`prune_linear` must be given to one of {list(both)}. Received: {name!r}")


def _check_effects(
    name: str,
    values: Mapping[str, Any],
    embedding: keras.layers.Layer | None,
    prune_linear: bool,
) -> None:
    """Refuses values other than the defaults where they would have no effect."""
    parameters = inspect.signature(build_model).parameters
    changed = [n for n, value in values.items() if value != parameters[n].default]
    if embedding is not None or name not in models_with("embedding"):
        reason = f"name={name!r}" if embedding is None else "an `embedding` that was built apart"
        idle = {"embedding_dim"} if prune_linear else set(values)
    else:
        reason = f"pruning={values['pruning']!r}, which has no thresholds"
        idle = set() if values["pruning"] == "threshold" else {"granularity", "threshold_init"}
    if wrong := [n for n in changed if n in idle]:
        raise ValueError(
            f"`{wrong[0]}` has no effect with {reason}. Received: {values[wrong[0]]!r}"
        )
