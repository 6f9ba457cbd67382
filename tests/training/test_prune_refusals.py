"""What `PruneCallback` and `prune` cannot do, named in one line before the first step."""

import keras
import numpy as np
import pytest

import pep_tf
from pep_tf.errors import DivergedError, ModelError, RunError
from pep_tf.layers import PEPEmbedding
from pep_tf.models import FM
from tests import any_model, tiny
from tests.training.interrupted import Diary
from tests.training.test_prune import run as prune_tiny
from tests.training.test_prune import start as ctr_model
from tests.training.test_prune_callback import start


def refused(model, match, budgets=(5,), optimizer="adam", error=RunError, **options):
    model.compile(optimizer, "mse")
    x, y = any_model.batch(model)
    with pytest.raises(error, match=match) as raised:
        model.fit(x, y, verbose=0, callbacks=[pep_tf.PruneCallback(budgets, **options)])
    assert "\n" not in str(raised.value)
    assert int(model.optimizer.iterations) == 0


def test_no_table_to_prune():
    refused(any_model.functional(), "must have a PEPEmbedding.*prunable", error=ModelError)


def test_a_table_that_is_not_there():
    refused(
        start(), r"must name tables of the model, which are \['item_bias'.*'price'", {"price": 3}
    )
    refused(start(), "all for the tables together, or all by table", ["5%", {"item_bias": 3}])
    refused(start(), "must be at most 100%", ["200%"])
    for budgets in (20, None, "5%"):
        refused(start(), f"`budgets` must be a list .* Received: {budgets!r}", budgets)
    refused(start(), "must keep at most all of the table's 60 entries", {"item_table": 61})
    refused(start(), "must leave something out of a table", {"item_table": "100%"})


def test_a_training_that_diverges():
    model = start()
    model.compile("adam", "mse")
    x, y = any_model.batch(model)
    with pytest.raises(DivergedError, match="'user_table' must hold finite numbers. Received: NaN"):
        model.fit(x, np.nan * y, verbose=0, callbacks=[pep_tf.PruneCallback([5])])


def test_two_callbacks_in_one_fit():
    model, cuts = start(), [pep_tf.PruneCallback([5]), pep_tf.PruneCallback([3])]
    model.compile("adam", "mse")
    with pytest.raises(RunError, match="takes one PruneCallback.* give one all budgets"):
        model.fit(*any_model.batch(model), verbose=0, callbacks=cuts)


def test_an_optimizer_that_starts_from_nothing():
    refused(start(), "Ftrl starts every weight from 0", optimizer="ftrl")


def test_a_table_of_zeros():
    given = any_model.inputs("item")
    layer = keras.layers.Embedding(any_model.ITEMS, 1, embeddings_initializer="zeros", name="bias")
    model = pep_tf.prunable(keras.Model(given, layer(given["item"])))
    refused(model, r"Table 'bias' is all zeros.*exclude=\['bias'\]", error=ModelError)


def test_a_gate_that_auto_does_not_know():
    model = pep_tf.prunable(any_model.functional(), gate="softplus")
    refused(model, "is for a sigmoid gate. Table 'user_table' has 'softplus'")


def test_a_model_that_a_ticket_could_not_make():
    refused(
        any_model.built(any_model.Closed(PEPEmbedding)), "outside of its conf", error=ModelError
    )


def test_a_table_with_a_call_of_its_own():
    @keras.saving.register_keras_serializable(package="tests")
    class Doubled(PEPEmbedding):
        def call(self, inputs, weights=None):
            return 2 * super().call(inputs, weights)

    ids = keras.Input((4,), dtype="int32")
    model = keras.Sequential([ids, Doubled(9, 3, name="twice"), keras.layers.Flatten()])
    refused(model, "'twice' is a Doubled with a `call` of its own", error=ModelError)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"steps": 0}, "`steps` must be at least 1. Received: 0"),
        ({"check_every": 1.5}, "`check_every` must be a whole number, .* Received: 1.5"),
        ({"steps": "many"}, "`steps` must be a whole number"),
        ({"threshold_init": "soon"}, "must be 'auto', a number or None. Received: 'soon'"),
    ],
)
def test_bad_arguments(options, match):
    with pytest.raises(RunError, match=match):
        pep_tf.PruneCallback(["5%"], **options)


@pytest.mark.parametrize(("name", "options"), [("linear", {}), ("fm", {"pruning": "none"})])
def test_a_model_that_cannot_be_pruned(name, options):
    with pytest.raises(
        RunError, match=r"`model` must have .* PEPEmbedding with pruning='threshold'"
    ):
        prune_tiny(tiny.model(name, **options))


def test_a_model_with_a_stock_embedding():
    with pytest.raises(RunError, match=r"`model` must have .*Received: FM with \[<Embedding"):
        prune_tiny(FM(tiny.FIELDS, keras.layers.Embedding(16, 4)))


def test_a_bad_budget_fails_before_any_step():
    diary = Diary()
    with pytest.raises(RunError, match="at most all of the table's 64 entries. Received: 65"):
        prune_tiny(ctr_model(), budgets=[65], reporter=diary)
    assert diary.stages == []
