"""The inputs of a Keras model by name, for the served signature, and a batch to check it on."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.errors import ModelError
from pep_tf.layers.table_layer import TableLayer
from pep_tf.training.layer_state import walk

_ROWS = 8  # of a batch that is made up
_UNKNOWN = 3  # its size along other axes that are not known
_SPLITS = "_row_splits"

Named = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class ModelInputs:
    """The inputs of a model, flat and by name.

    Attributes:
        specs: of each input. A `tf.RaggedTensor` has two: its flat values, and `<name>_row_splits`.
        batch: a batch of them.
        restored: gives the structure that the model takes, from inputs by name.
    """

    specs: dict[str, tf.TensorSpec]
    batch: dict[str, tf.Tensor]
    restored: Callable[[Named], Any]

    @classmethod
    def of(cls, model: keras.Model, examples: Any = None) -> "ModelInputs":
        """The inputs of a model; their batch is `examples`, or made up.

        Args:
            model: functional or sequential, or any other if `examples` are given.
            examples: a batch as the model takes it: a tensor or array, or a dict, list or tuple.

        Raises:
            ModelError: no examples for a model whose inputs are not known, examples that do not
                fit, or inputs that no signature can have.
        """
        spec = _spec_of(model)
        if spec is None and examples is None:
            raise ModelError(
                f"{type(model).__name__} {model.name!r} does not tell what it takes: give `examples`, a "
                "batch of its inputs."
            )
        if examples is None:
            examples = _made_up(spec, _smallest_table(model))
        elif spec is not None:
            examples = _as_spec(examples, spec)
        return cls._of_examples(examples, spec)

    @classmethod
    def _of_examples(cls, examples: Any, spec: Any) -> "ModelInputs":
        leaves = keras.tree.flatten(examples)
        names = _names(examples if spec is None else spec, len(leaves))
        shapes = [None] * len(leaves) if spec is None else keras.tree.flatten(spec)
        specs: dict[str, tf.TensorSpec] = {}
        batch: dict[str, tf.Tensor] = {}
        ragged: set[str] = set()
        for name, value, symbolic in zip(names, leaves, shapes, strict=True):
            value = _tensor(name, value)
            if isinstance(value, tf.RaggedTensor):
                ragged.add(name)
                batch[name], batch[name + _SPLITS] = value.flat_values, value.row_splits
                specs[name] = tf.TensorSpec([None], value.dtype, name)
                specs[name + _SPLITS] = tf.TensorSpec([None], tf.int64, name + _SPLITS)
                continue
            shape = value.shape[1:] if symbolic is None else symbolic.shape[1:]
            batch[name] = value
            specs[name] = tf.TensorSpec([None, *shape], value.dtype, name)

        def restored(named: Named) -> Any:
            flat = [
                tf.RaggedTensor.from_row_splits(named[name], named[name + _SPLITS])
                if name in ragged
                else named[name]
                for name in names
            ]
            return keras.tree.pack_sequence_as(examples, flat)

        return cls(specs, batch, restored)


def _spec_of(model: keras.Model) -> Any:
    """The symbolic inputs of a functional or sequential model, None of another one."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return None
    return inputs[0] if isinstance(model, keras.Sequential) else model.input


def _names(structure: Any, count: int) -> list[str]:
    """The name of each leaf: its keys, or what the symbolic input is called."""
    names = []
    for i, (path, leaf) in enumerate(keras.tree.flatten_with_path(structure)):
        name = "_".join(key for key in path if isinstance(key, str))
        if not name and isinstance(leaf, keras.KerasTensor):
            name = leaf.name
        names.append(name or ("inputs" if count == 1 else f"input_{i}"))
    return [name.replace("/", "_") for name in names]


def _tensor(name: str, value: Any) -> tf.Tensor | tf.RaggedTensor:
    if isinstance(value, tf.RaggedTensor):
        if value.ragged_rank != 1 or value.flat_values.shape.rank != 1:
            raise ModelError(f"The input {name!r} must be ragged in one axis only to be exported.")
        return value
    if isinstance(value, tf.SparseTensor):
        raise ModelError(
            f"The input {name!r} is sparse, which no signature can take: give it dense."
        )
    try:
        value = tf.convert_to_tensor(value)
    except (TypeError, ValueError):
        raise ModelError(
            f"`examples` must be a batch of inputs, an array or a tensor for {name!r}. "
            f"Received: {type(value).__name__}"
        ) from None
    if value.shape.rank == 0:
        raise ModelError(f"`examples` must be a batch: the input {name!r} has no axis of rows.")
    return value


def _as_spec(examples: Any, spec: Any) -> Any:
    """Examples in the structure, and the types, of a model's symbolic inputs."""
    leaves = keras.tree.flatten(spec)
    names = [leaf.name for leaf in leaves]
    if isinstance(examples, Mapping) and not isinstance(spec, Mapping):
        missing = sorted(set(names) - set(examples))
        values = [] if missing else [examples[name] for name in names]
    elif isinstance(examples, Mapping):
        missing = sorted(set(spec) - set(examples))
        values = [] if missing else keras.tree.flatten({key: examples[key] for key in spec})
    else:
        values, missing = keras.tree.flatten(examples), []
    if missing or len(values) != len(leaves):
        raise ModelError(
            f"`examples` must hold the model's inputs {names}. Received: "
            + (f"none of {missing}" if missing else f"{len(values)} of them")
        )
    return keras.tree.pack_sequence_as(spec, list(map(_typed, names, values, leaves)))


def _typed(name: str, value: Any, symbolic: keras.KerasTensor) -> tf.Tensor | tf.RaggedTensor:
    value = _tensor(name, value)
    value = value if value.dtype == symbolic.dtype else tf.cast(value, symbolic.dtype)
    missing = len(symbolic.shape) - value.shape.rank
    return tf.expand_dims(value, -1) if missing == 1 and symbolic.shape[-1] == 1 else value


def _smallest_table(model: keras.Model) -> int:
    """Rows of the smallest table: an id below it is in all of them."""
    embeddings = (TableLayer, keras.layers.Embedding)
    return min(x.input_dim for _, x in walk(model) if isinstance(x, embeddings))


def _made_up(spec: Any, ids: int) -> Any:
    rng = np.random.default_rng(0)

    def of(symbolic: keras.KerasTensor) -> tf.Tensor:
        shape = [_ROWS, *(_UNKNOWN if size is None else size for size in symbolic.shape[1:])]
        if symbolic.dtype == "string":
            return tf.fill(shape, "")
        return tf.cast(tf.constant(rng.integers(0, ids, shape)), symbolic.dtype)

    return keras.tree.map_structure(of, spec)
