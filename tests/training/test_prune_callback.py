"""Tickets from `fit`, of any model."""

import keras
import numpy as np
import pytest

import pep_tf
from pep_tf.errors import ModelError, RunError
from pep_tf.layers import PEPEmbedding, TicketEmbedding
from pep_tf.training.pruned_tables import pruned_tables
from tests import any_model
from tests.training.interrupted import Diary

EPOCHS = 8


def fitted(model, budgets, optimizer=None, epochs=EPOCHS, fit=None, **options):
    """Prunes a compiled model; returns the callback and what it said."""
    diary = Diary()
    cut = pep_tf.PruneCallback(budgets, check_every=1, reporter=diary, **options)
    # Against a loss as small as this, thresholds go their way.
    model.compile(optimizer or pep_tf.CoupledAdam(0.01), "mse", loss_weights=[1e-3])
    x, y = any_model.batch(model)
    told = {"epochs": epochs, "batch_size": 16, "verbose": 0, "shuffle": False, **(fit or {})}
    model.fit(x, y, callbacks=[cut, *told.pop("callbacks", [])], **told)
    return cut, diary.notes


def start(seed=0):
    keras.utils.set_random_seed(seed)
    return pep_tf.prunable(any_model.functional())


def nnz_of(model: keras.Model) -> int:
    """Entries of all tables that are not zero; all of them are of a ticket."""
    tables = [x for x in model._flatten_layers() if hasattr(x, "effective_table")]
    assert all(isinstance(x, TicketEmbedding) for x in tables)
    return sum(x.nnz() for x in tables)


@pytest.mark.parametrize(
    "kind", ["functional", "two_towers", "shared_table", "sequential", "subclassed"]
)
def test_five_lines(kind, tmp_path):
    keras.utils.set_random_seed(3)
    model = pep_tf.prunable(any_model.KINDS[kind]())
    before = [np.array(v) for v in model.weights if v.name != "thresholds"]
    cut, notes = fitted(model, ["50%", 9])
    assert notes == []
    assert [ticket.nnz for ticket in cut.tickets] == [cut.tickets[0].budget, 9]
    assert cut.tickets[0].budget == sum(mask.size for mask in cut.tickets[0].masks().values()) // 2
    assert not any(ticket.forced for ticket in cut.tickets)
    small = cut.tickets[-1].model()
    if kind != "subclassed":  # which gives its layers no names
        assert [x.name for x in small.layers] == [x.name for x in model.layers]
    assert nnz_of(small) == 9
    x, y = any_model.batch(model)
    small.compile("adam", "mse")
    small.fit(x, y, verbose=0)
    assert nnz_of(small) == 9
    # What the ticket starts from is what the model started from.
    tables = [table.weight for table in cut.tickets[-1].tables.values()]
    start = [v for n, v in cut.tickets[-1].initial.items() if n not in tables]
    assert all(any(np.array_equal(value, found) for found in before) for value in start)
    cut.tickets[-1].save(tmp_path / "ticket")
    again = pep_tf.Ticket.load(tmp_path / "ticket").model("trained")
    np.testing.assert_allclose(again(x), cut.tickets[-1].model("trained")(x), atol=1e-6)


def test_trained_weights_give_what_the_model_gave():
    model = pep_tf.prunable(any_model.functional())
    cut, _ = fitted(model, ["30%"], stop=True)
    x, _ = any_model.batch(model)
    np.testing.assert_allclose(cut.tickets[0].model("trained")(x), model(x), atol=0.05)
    one, other = (cut.tickets[0].model("random") for _ in range(2))
    assert not np.allclose(one(x), other(x))


def test_budgets_by_table():
    model = pep_tf.prunable(any_model.functional())
    cut, _ = fitted(model, [{"item_table": "10%"}, {"item_table": "50%", "user_table": 7}])
    kept = [{name: int(m.sum()) for name, m in ticket.masks().items()} for ticket in cut.tickets]
    assert kept == [
        {"user_table": 48, "item_table": 6, "item_bias": 20},
        {"user_table": 7, "item_table": 30, "item_bias": 20},
    ]
    assert [ticket.budget for ticket in cut.tickets] == [74, 57]
    assert cut.tickets[0].budgets == kept[0]
    # What no budget takes anything from is not thresholded either.
    bias = model.get_layer("item_bias")
    np.testing.assert_array_equal(bias.effective_table(), bias.table.numpy())


def test_training_ends_with_the_last_budget_unless_told_otherwise():
    stopped, _ = fitted(pep_tf.prunable(any_model.sequential()), [20])
    assert stopped.history[-1]["step"] == stopped.tickets[0].step < 4 * EPOCHS
    going, _ = fitted(pep_tf.prunable(any_model.sequential()), [20], stop=False)
    assert going.history[-1]["step"] == 4 * EPOCHS
    nnz = [seen["nnz"] for seen in going.history]
    assert nnz[0] > nnz[-1]


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.Adam(0.1),
        keras.optimizers.Lion(0.1),
        keras.optimizers.RMSprop(0.1),
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.Adagrad(1.0),
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.2, 160)),
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.0, 120, warmup_target=0.2, warmup_steps=40),
            name="warmed_up",
        ),
        pep_tf.CoupledAdam(0.01),
        pep_tf.RowwiseAdam(0.01, dense_below=1),
    ],
    ids=lambda optimizer: optimizer.name,
)
def test_any_optimizer_prunes(optimizer):
    model = pep_tf.prunable(any_model.sequential())
    model.compile(optimizer, "mse", loss_weights=[0.0])  # the thresholds' own way
    x, y = any_model.batch(model)
    cut = pep_tf.PruneCallback([9], check_every=1, reporter=(diary := Diary()))
    model.fit(x, y, batch_size=16, epochs=40, verbose=0, callbacks=[cut])
    (ticket,) = cut.tickets
    assert (diary.notes, ticket.nnz, ticket.forced) == ([], 9, False)
    # Not at once and not at the end; coupled L2 moves the weights towards zero meanwhile.
    assert 10 < ticket.step < 140


@pytest.mark.parametrize(
    "optimizer",
    [keras.optimizers.Adam(), keras.optimizers.SGD(0.1, momentum=0.9)],
    ids=["adam", "sgd"],
)
def test_what_will_not_be_reached_is_said_after_the_first_epoch(optimizer):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append((epoch, len(diary.notes)))

    diary = Diary()
    cut = pep_tf.PruneCallback(["50%", 5], threshold_init=None, reporter=diary)
    model = pep_tf.prunable(any_model.functional())
    model.compile(optimizer, "mse")
    x, y = any_model.batch(model)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[cut, Watch()])
    assert seen == [(0, 0), (1, 1), (2, 1)]
    assert "which leaves about 128 entries: 64 entries, 5 entries will be cut" in diary.notes[0]
    name = type(optimizer).__name__
    assert f"another optimizer than {name}, such as pep_tf.RowwiseAdam" in diary.notes[0]
    assert [note.split(":")[0] for note in diary.notes[1:]] == [
        "Thresholds alone did not reach 64 entries",
        "Thresholds alone did not reach 5 entries",
    ]
    assert [(t.nnz, t.forced, t.step) for t in cut.tickets] == [(64, True, 6), (5, True, 6)]


def test_in_a_single_epoch_it_is_said_half_way():
    cut = pep_tf.PruneCallback([5], threshold_init=None, reporter=(diary := Diary()))
    model = pep_tf.prunable(any_model.functional())
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = any_model.batch(model)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[cut])
    assert "in the 4 steps left, which leaves" in diary.notes[0]


def test_rows_that_no_batch_holds_are_counted_as_they_are_by_now():
    """Under lazy updates, too, of which the count must know before the first step."""

    def nnz(optimizer):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Embedding(40, 2, name="table"), keras.layers.Flatten()]
        ids = keras.Input((4,), dtype="int32")
        model = pep_tf.prunable(keras.Sequential([ids, *layers, keras.layers.Dense(1)]))
        model.compile(optimizer, "mse")
        cut = pep_tf.PruneCallback([1], -4.0, check_every=1, reporter=Diary())
        model.fit(np.ones((8, 4)), np.ones(8), batch_size=1, verbose=0, callbacks=[cut])
        return [seen["nnz"] for seen in cut.history]

    rowwise = nnz(pep_tf.RowwiseAdam(0.01, threshold_learning_rate=0.1, dense_below=1))
    assert rowwise[0] > 20
    assert rowwise == nnz(pep_tf.CoupledAdam(0.01, threshold_learning_rate=0.1))


def test_tables_with_a_regularizer_and_a_constraint():
    ids = keras.Input((4,), dtype="int32")
    table = keras.layers.Embedding(
        any_model.WORDS,
        3,
        embeddings_regularizer="l2",
        embeddings_constraint=keras.constraints.MaxNorm(0.02, axis=1),
        name="table",
    )
    inner = keras.layers.TimeDistributed(keras.layers.Dense(1))(table(ids))
    model = pep_tf.prunable(keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(inner))))
    x, y = any_model.rows()[0]["words"], any_model.rows()[1]
    model.compile(pep_tf.CoupledAdam(0.01, threshold_l2=1.0), "mse")
    cut = pep_tf.PruneCallback([12], -4.0, reporter=Diary())
    model.fit(x, y, verbose=0, callbacks=[cut])
    small = cut.tickets[0].model()
    small.compile(pep_tf.CoupledAdam(0.01), "mse")
    small.fit(x, y, verbose=0)
    kept = small.get_layer("table").effective_table()
    assert 0 < np.linalg.norm(kept, axis=1).max() <= 0.0201
    assert np.count_nonzero(kept) == 12


def test_other_callbacks_and_validation(tmp_path):
    model = pep_tf.prunable(any_model.functional())
    x, y = any_model.batch(model, seed=1)
    callbacks = [
        keras.callbacks.EarlyStopping(patience=50, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras"),
        keras.callbacks.TensorBoard(tmp_path / "logs"),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
    ]
    cut, notes = fitted(model, [30], fit={"callbacks": callbacks, "validation_data": (x, y)})
    assert (notes, cut.tickets[0].nnz) == ([], 30)
    assert "nnz" in (tmp_path / "log.csv").read_text().split("\n")[0]
    again = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_allclose(again(x), model(x), atol=1e-5)


def test_several_steps_a_call():
    model = pep_tf.prunable(any_model.functional())
    model.compile(pep_tf.CoupledAdam(0.01, threshold_l2=1.0), "mse", steps_per_execution=3)
    cut = pep_tf.PruneCallback([30, 100], check_every=2, stop=False)
    x, y = any_model.batch(model)
    model.fit(x, y, batch_size=16, epochs=5, verbose=0, callbacks=[cut])
    assert [seen["step"] for seen in cut.history][-1] == 20
    assert [t.nnz for t in cut.tickets] == [100, 30]


def test_many_tables_are_counted_without_a_warning_of_tensorflow(caplog):
    given = keras.Input((), dtype="int32")
    rows = [keras.layers.Embedding(9, 2)(given) for _ in range(6)]
    model = pep_tf.prunable(keras.Model(given, keras.layers.Dense(1)(keras.layers.Add()(rows))))
    model.compile("adam", "mse")
    cut = pep_tf.PruneCallback(["50%"], reporter=Diary())
    model.fit(np.arange(9), np.ones((9, 1)), verbose=0, callbacks=[cut])
    assert "retracing" not in caplog.text


def test_a_custom_loop():
    model = pep_tf.prunable(any_model.functional())
    model.compile(pep_tf.CoupledAdam(0.01, threshold_l2=1.0), "mse")
    x, y = any_model.batch(model)
    cut = pep_tf.PruneCallback([20], check_every=1)
    callbacks = keras.callbacks.CallbackList([cut], model=model, epochs=EPOCHS, steps=4)
    callbacks.on_train_begin()
    for epoch in range(EPOCHS):
        callbacks.on_epoch_begin(epoch)
        for batch in range(4):
            rows = slice(16 * batch, 16 * batch + 16)
            logs = model.train_on_batch(
                {n: v[rows] for n, v in x.items()}, y[rows], return_dict=True
            )
            callbacks.on_train_batch_end(batch, logs)
        callbacks.on_epoch_end(epoch)
    callbacks.on_train_end()
    assert [t.nnz for t in cut.tickets] == [20]


def generator():
    x, y = any_model.batch(any_model.sequential())
    while True:
        yield x[:16], y[:16]


def test_several_workers_are_told_what_trains_them(monkeypatch):
    monkeypatch.setattr("pep_tf.distributed.group._group", pep_tf.distributed.Group(2, 0))
    callback = pep_tf.PruneCallback([9])
    with pytest.raises(RunError, match="call pep_tf.prune"):
        callback.on_train_begin()


def test_the_steps_of_a_generator_must_be_told():
    model = pep_tf.prunable(any_model.sequential())
    model.compile(pep_tf.CoupledAdam(0.01, threshold_l2=1.0), "mse")

    def finite():
        for _, rows in zip(range(4), generator(), strict=False):
            yield rows

    with pytest.raises(RunError, match="`steps` must be given"):
        model.fit(finite(), verbose=0, shuffle=False, callbacks=[pep_tf.PruneCallback([9])])
    cut = pep_tf.PruneCallback([9], check_every=1, steps=20)
    told = {"steps_per_epoch": 4, "epochs": 5, "verbose": 0, "shuffle": False}
    model.fit(generator(), callbacks=[cut], **told)
    assert cut.tickets[0].nnz == 9


def test_frozen_tables_are_left_alone():
    model = start()
    model.get_layer("user_table").trainable = False
    cut, _ = fitted(model, [9])
    assert set(cut.tickets[0].masks()) == {"item_table", "item_bias"}
    small = cut.tickets[0].model()
    assert isinstance(small.get_layer("user_table"), PEPEmbedding)
    model.trainable = False
    with pytest.raises(ModelError, match=r"not trainable: \['item_bias', 'item_table'"):
        pruned_tables(model)
