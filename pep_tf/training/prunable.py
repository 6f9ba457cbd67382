"""A model whose embeddings learn what to keep, made from any Keras model."""

from collections.abc import Collection, Mapping
from typing import Any

import keras

from pep_tf.errors import ModelError
from pep_tf.layers import PEPEmbedding
from pep_tf.training.build_fn import BuildFn, build_with
from pep_tf.training.layer_state import walk
from pep_tf.training.swap import keyed, swap_layers

# Arguments of `keras.layers.Embedding` that a PEPEmbedding takes over.
_ARGUMENTS = (
    "name",
    "trainable",
    "dtype",
    "input_dim",
    "output_dim",
    "embeddings_initializer",
    "embeddings_regularizer",
    "embeddings_constraint",
    "activity_regularizer",
    "mask_zero",
    "combiner",  # of a bag of keras-rs
)
_OF_ITS_OWN = ("call", "compute_mask", "build", "compute_output_shape")


def prunable(
    model: keras.Model | BuildFn,
    include: Collection[str] | None = None,
    exclude: Collection[str] = (),
    **options: Any,
) -> keras.Model:
    """A copy of a model in which each `keras.layers.Embedding` is a `PEPEmbedding`; weights stay.

    A `keras_rs.layers.EmbedReduce` becomes one with its `combiner`.

    Sequential and functional models, nested ones, wrappers such as `TimeDistributed`, and subclassed
    models whose `get_config` holds their layers. Any other model is given as the function that makes
    it, with what it has to use in place of `keras.layers.Embedding`::

        def build_fn(Embedding):
            return MyModel(Embedding(1000, 16, name="item"))

        model = pep_tf.prunable(build_fn)

    The copy is to be compiled; the model stays as it is, and so does another model that uses the same
    layers. A `PEPEmbedding` stays, and so does an embedding that is not trainable.

    Args:
        model: a model, or a function that makes one.
        include: names of the embeddings to take; None takes all. Where two have the same name, the
            path to it: `"user_tower/embedding"`.
        exclude: names of embeddings to leave as they are.
        **options: arguments of `PEPEmbedding`, such as `granularity` or `threshold_init`.

    Raises:
        ModelError: a model without an embedding to prune, an unknown name, an embedding that cannot
            be pruned, or a model that cannot be made anew.

    Example:
        >>> model = keras.Sequential([keras.layers.Embedding(1000, 16, name="item")])
        >>> prunable(model).layers[0]
        <PEPEmbedding name=item, built=False>
    """
    choice = _Choice(include, exclude, options)
    if not isinstance(model, keras.Model):
        if not callable(model):
            raise ModelError(
                "`model` must be a keras.Model, or a function that makes one and takes what to use in "
                f"place of keras.layers.Embedding. Received: {model!r}"
            )
        made, asked = build_with(model, choice.replacement)
        choice.check(asked)
        return made
    found = keyed(
        {path: x for path, x in walk(model) if isinstance(x, keras.layers.Embedding | PEPEmbedding)}
    )
    chosen = choice.among(found)
    if not chosen:
        return model
    new = {key: choice.layer(layer) for key, layer in chosen.items()}
    return swap_layers(model, chosen, new, _carry_over)


class _Choice:
    """Which embeddings to replace, and by what."""

    def __init__(
        self, include: Collection[str] | None, exclude: Collection[str], options: Mapping[str, Any]
    ) -> None:
        for name, given in (("include", include), ("exclude", exclude)):
            if isinstance(given, str):
                raise ModelError(f"`{name}` must be a list of names. Received: {given!r}")
        self.include = None if include is None else list(include)
        self.exclude, self.options = list(exclude), dict(options)

    def among(
        self, embeddings: Mapping[str, keras.layers.Layer]
    ) -> dict[str, keras.layers.Embedding]:
        """The embeddings of a model to replace, by key."""
        self.check(embeddings)
        return {key: layer for key, layer in embeddings.items() if self.takes(key, layer)}

    def check(self, embeddings: Mapping[str, keras.layers.Layer]) -> None:
        """Refuses names that no embedding has, and a choice of none."""
        if unknown := sorted({*(self.include or ()), *self.exclude} - set(embeddings)):
            raise ModelError(
                f"`include` and `exclude` must name embeddings of the model, which has "
                f"{sorted(embeddings)}. Received: {unknown}"
            )
        if not any(
            isinstance(layer, PEPEmbedding) or self.takes(key, layer)
            for key, layer in embeddings.items()
        ):
            which = f"{sorted(embeddings)}, all frozen or left out" if embeddings else "none"
            raise ModelError(
                f"`model` must have a keras.layers.Embedding to prune. Its embeddings: {which}"
            )

    def takes(self, key: str, layer: keras.layers.Layer) -> bool:
        """Whether an embedding is to be replaced; refuses one that cannot be."""
        named = self.include is not None and key in self.include
        if isinstance(layer, PEPEmbedding) or key in self.exclude:
            return False
        if self.include is not None and not named:
            return False
        if not layer.trainable:
            if named:
                raise ModelError(
                    f"The embedding {key!r} is not trainable, so nothing of it can be pruned. Set "
                    "`trainable = True`, or leave it out of `include`."
                )
            return False
        if lost := _what_a_copy_would_lose(layer):
            raise ModelError(
                f"The embedding {key!r} is a {type(layer).__name__} with {lost}, which a "
                f"PEPEmbedding would not have. Leave it as it is by exclude=[{key!r}]."
            )
        return True

    def replacement(self, key: str, embedding: keras.layers.Embedding) -> keras.layers.Layer:
        """What is to be in place of an embedding that is about to be made."""
        return self.layer(embedding) if self.takes(key, embedding) else embedding

    def layer(self, embedding: keras.layers.Embedding) -> PEPEmbedding:
        """The PEPEmbedding to be in place of an embedding."""
        config = embedding.get_config()
        # What is not set is left out, so that the defaults of both layers need not be the same.
        arguments = {
            name: config[name] for name in _ARGUMENTS if config.get(name) not in (None, False)
        }
        return PEPEmbedding.from_config({**arguments, **self.options})


def _what_a_copy_would_lose(layer: keras.layers.Layer) -> str:
    """What a layer does beyond its arguments, so that a copy would lose it; "" if nothing."""
    for kind in type(layer).__mro__:
        if kind is keras.layers.Embedding or _is_bag(kind):
            break
        for name in _OF_ITS_OWN:
            if name in vars(kind):
                return f"a `{name}` of its own"
    if layer.mask_zero and any(map(_is_bag, type(layer).__mro__)):
        return "`mask_zero`, whose id 0 counts in a bag,"
    if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
        return "quantized weights" if layer.quantization_mode else "LoRA"
    return ""


def _is_bag(kind: type) -> bool:
    """Whether a class is `keras_rs.layers.EmbedReduce`; keras-rs need not be there."""
    return kind.__name__ == "EmbedReduce" and kind.__module__.split(".")[0] == "keras_rs"


def _carry_over(old: keras.layers.Embedding, new: PEPEmbedding) -> None:
    new.table.assign(new.table.row_table.part_of(old.embeddings))
