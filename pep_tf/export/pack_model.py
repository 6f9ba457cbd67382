"""A Keras model that serves: its pruned tables in few bytes."""

import keras

from pep_tf.errors import ModelError, RunError
from pep_tf.layers import PackedEmbedding
from pep_tf.layers.table_layer import TableLayer
from pep_tf.tables.packed.pack import graph_bytes, pack
from pep_tf.tables.packed.values import StoredAs, check_stored_as, dtype_of
from pep_tf.training.layer_state import walk
from pep_tf.training.pruned_tables import refuse_more
from pep_tf.training.swap import keyed, swap_layers


def packed(model: keras.Model, dtype: StoredAs = "float32") -> keras.Model:
    """A copy of a model with a `PackedEmbedding` in place of each embedding of this package.

    It answers as the model does, cannot be trained, and is as small in a `.keras` file, or exported
    by `model.export`, as its tables have entries. Embeddings of Keras's own stay as they are.

    Args:
        model: any built model with a `PEPEmbedding` or a `TicketEmbedding`, such as
            `ticket.model()` after `fit`; it is left as it is.
        dtype: how the entries are stored, see `pep_tf.export`.

    Raises:
        ModelError: a model without such a layer, or one that cannot be made anew.
        RunError: an unknown `dtype`.

    Example:
        >>> layers = [PEPEmbedding(1000, 16, name="item"), keras.layers.Flatten()]
        >>> model = keras.Sequential([keras.Input((1,), dtype="int32"), *layers])
        >>> packed(model).get_layer("item")
        <PackedEmbedding name=item, built=True>
    """
    tables = tables_of(model)
    layers = {key: x for key, x in tables.items() if not isinstance(x, PackedEmbedding)}
    if not layers and tables:
        if dtype != "float32":
            raise RunError("`dtype` has no effect on a model that is packed: give it to `packed`.")
        return model
    check_stored_as(dtype, layers)
    for key, layer in layers.items():
        refuse_more(key, layer)
    widths = [layer.output_dim for layer in layers.values()]
    new = {
        key: _packed_layer(key, layer, dtype_of(dtype, key), widths.count(layer.output_dim))
        for key, layer in layers.items()
    }
    by_layer = {id(layer): new[key] for key, layer in layers.items()}
    return swap_layers(model, layers, new, lambda old, made: made.load(by_layer[id(old)].arrays()))


def tables_of(model: keras.Model) -> dict[str, TableLayer]:
    """The embeddings of this package in a model by key (see `keyed`).

    Raises:
        ModelError: a model that has none.
    """
    layers = {path: x for path, x in walk(model) if isinstance(x, TableLayer)}
    if not layers:
        raise ModelError(
            "`model` must have a PEPEmbedding or a TicketEmbedding: without one there is nothing to "
            f"pack, and `model.export` writes it. Received: {type(model).__name__} {model.name!r}"
        )
    return keyed(layers)


def _packed_layer(key: str, layer: TableLayer, dtype: str, alike: int) -> PackedEmbedding:
    """The layer that serves a table; `alike` counts the tables of its width."""
    if not layer.built:
        raise ModelError(f"`model` must be built: its table {key!r} has no weights yet.")
    return PackedEmbedding.of(
        layer.stored_form(dtype)
        or pack(
            layer.row_blocks(),
            dtype=dtype,
            field_sizes=layer.field_sizes,
            room=graph_bytes(alike),
        ),
        policy=layer.dtype_policy,
        name=layer.name,
        mask_zero=layer.mask_zero,
        combiner=layer.combiner,
    )
