"""What all click-through models share: ids in, embeddings and first-order weights looked up, a logit out."""

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from pep_tf.distributed.share import between_messages
from pep_tf.layers import BatchNorm, FieldIds, PEPEmbedding, look_up_together, share_rows

_NORMS = (BatchNorm, keras.layers.BatchNormalization)


def first_order_weights(
    fields: Mapping[str, int], dtype: Any = None, **pruned: Any
) -> PEPEmbedding:
    """One weight per feature: the linear term of a model.

    Args:
        fields: `{field name: vocabulary size}`, in column order.
        dtype: policy of the layer.
        **pruned: arguments of `PEPEmbedding`, for weights that are pruned. These start as a table
            does, by Xavier's rule, since no gradient passes a threshold to a weight of zero.
            Without them the weights start at zero and all are kept.
    """
    known = FieldIds(fields)  # which checks the fields as well
    start = {"pruning": "none", "embeddings_initializer": "zeros"}
    return PEPEmbedding(
        known.num_features,
        1,
        dtype=dtype,
        name="first_order",
        **{"field_sizes": known.sizes, **(pruned or start)},
    )


def flatten_fields(embedded: Any) -> Any:
    """[B, F, d] to [B, F * d]."""
    return keras.ops.reshape(embedded, (-1, embedded.shape[1] * embedded.shape[2]))


class CTRModel(keras.Model):
    """Base of the models: subclasses say in `interact` how embeddings become a logit.

    Args:
        fields: `{field name: vocabulary size}`, in column order.
        embedding: any layer that maps rows int [B, F], in [0, N), to float [B, F, d]; or None.
        first_order: a layer that maps the same rows to float [B, F, 1]; or None.

    Attributes:
        table_device: where `build` puts what is looked up, as `tf.device` names it; None leaves it
            to TensorFlow.
        trained_on: the data that it was trained on, as `pep_tf.training` notes it; None where that is
            not known.

    Call arguments:
        ids: integers [B, F], ids per field.

    Returns:
        float32 [B, 1], the logit of a click.

    Raises:
        tf.errors.InvalidArgumentError: an id outside its field's vocabulary (see `FieldIds`).
    """

    table_device: str | None = None
    trained_on: str | None = None

    def __init__(
        self,
        fields: Mapping[str, int],
        embedding: keras.layers.Layer | None,
        first_order: keras.layers.Layer | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fields = dict(fields)
        self.field_ids = FieldIds(fields, name="field_ids")
        self.embedding = embedding
        self.first_order = first_order
        if first_order is not None:
            self.bias = self.add_weight(name="bias", shape=(1,), initializer="zeros")

    @property
    def same_rows(self) -> list[keras.layers.Layer]:
        """The layers that `call` asks for the same rows, always together."""
        return [layer for layer in (self.embedding, self.first_order) if layer is not None]

    def build(self, input_shape: Any = None) -> None:
        shape = (None, len(self.fields))
        self.field_ids.build((None, len(self.field_ids.offsets)))
        with tf.device(self.table_device) if self.table_device else contextlib.nullcontext():
            for layer in self.same_rows:
                if not layer.built:  # as one that was handed in may be
                    layer.build(shape)
        share_rows(self.same_rows)
        embedded = self.embedding and self.embedding.compute_output_shape(shape)
        self.build_interaction(embedded)
        self.built = True

    def build_interaction(self, embedded_shape: tuple[int | None, ...] | None) -> None:
        """Builds the layers that `interact` calls; `embedded_shape` is (None, F, d)."""

    def call(self, ids: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        rows = self.field_ids(ids)
        found = iter(look_up_together(self.same_rows, rows))
        embedded = None if self.embedding is None else self.field_ids.combined(ids, next(found))
        first_order = (
            None if self.first_order is None else self.field_ids.combined(ids, next(found))
        )
        interact = functools.partial(self.interact, training=training)
        logit = (interact if self._sends() else between_messages(interact))(embedded, first_order)
        return tf.cast(logit, tf.float32)

    def _sends(self) -> bool:
        """Whether layers sum something over all workers that share a batch."""
        return any(isinstance(layer, _NORMS) for layer in self._flatten_layers())

    def interact(
        self, embedded: Any, first_order: Any = None, training: bool | None = None
    ) -> tf.Tensor:
        """The logit [B, 1] of embeddings [B, F, d] and first-order weights [B, F, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must define `interact`.")

    def linear_term(self, first_order: Any) -> Any:
        """Sum of the first-order weights plus bias: [B, F, 1] to [B, 1]."""
        return tf.reduce_sum(first_order, axis=1) + tf.cast(self.bias, first_order.dtype)

    def get_config(self) -> dict[str, Any]:
        tables = {"embedding": self.embedding, "first_order": self.first_order}
        noted = {} if self.trained_on is None else {"trained_on": self.trained_on}
        return {
            **noted,
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "fields": self.fields,
            **{
                name: keras.saving.serialize_keras_object(table)
                for name, table in tables.items()
                if table is not None
            },
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "CTRModel":
        config = dict(config)
        noted = config.pop("trained_on", None)
        for name in ("embedding", "first_order"):
            if config.get(name) is not None:
                config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        model = cls(**config)
        model.trained_on = noted
        return model
