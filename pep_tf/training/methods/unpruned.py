"""A model whose thresholds keep everything, for methods that choose entries otherwise."""

from typing import Any

import keras

from pep_tf.data import CTRData
from pep_tf.distributed import agreed, wait
from pep_tf.errors import RunError
from pep_tf.tables.packed.values import StoredAs
from pep_tf.tables.sharded_table import is_sharded
from pep_tf.training.inputs import check_inputs
from pep_tf.training.progress import Reporter, Silent
from pep_tf.training.prune import facts_of
from pep_tf.training.prune_folder import PruneFolder
from pep_tf.training.pruning import Pruning
from pep_tf.training.state import load_state, save_state
from pep_tf.training.threshold_plan import ThresholdPlan, carry_out
from pep_tf.training.trained_on import note_trained_on
from pep_tf.training.weights import snapshot

_INITIAL = "initial.safetensors"


def unpruned(
    model: keras.Model,
    data: CTRData,
    budgets: Any,
    method: str,
    folder: PruneFolder | None,
    reporter: Reporter | None,
    dtype: StoredAs,
    *,
    by_scores: bool = True,
) -> Pruning:
    """The pruning of a model whose thresholds are so low that E is V, bit for bit, whatever is trained.

    Args:
        model: as for `prune`.
        data, budgets, reporter, dtype: see `prune`.
        method: name of the method, for the tickets.
        folder: keeps the weights that tickets start from, of a training that goes on.
        by_scores: whether tickets will be cut by scores of the method's own, which takes whole tables.

    Raises:
        RunError: thresholds with another gate than a sigmoid, which is 0 nowhere for sure; a table of
            which each of several processes has a part, by scores.
    """
    check_inputs(model, data)
    note_trained_on(model, data)
    if not model.built:
        model.build()
    facts = {**facts_of(data), "identity": data.identity.get_config(), "method": method}
    pruning = Pruning(model, budgets, reporter or Silent(), folder, facts, dtype)
    for name, layer in pruning.tables.items():
        if by_scores and is_sharded(layer.table):
            raise RunError(
                f"`method` {method!r} needs whole tables on each worker (--tables=replicated). Received: "
                f"table {name!r}, of which each has a part"
            )
        if layer.gate is not keras.activations.sigmoid:
            raise RunError(
                f"`method` must be 'pep' for a gate of one's own. Received: {method!r} and table "
                f"{name!r} with the gate {layer.gate.__name__!r}"
            )
    carry_out(ThresholdPlan(), {}, pruning.tables)
    pruning.initial = snapshot(model)
    if folder is not None:
        path = folder.path / _INITIAL
        if not agreed(folder.checkpoint.exists()):
            save_state(path, dict(pruning.initial), {})
        wait()
        pruning.initial, _ = load_state(path, "the weights before training")
    return pruning
