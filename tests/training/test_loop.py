import numpy as np
import pytest
import tensorflow as tf

from pep_tf.data import ArraySplit
from pep_tf.errors import RunError
from pep_tf.optimizers import CoupledAdam
from pep_tf.training.loop import Loop
from pep_tf.training.state import load_state, save_state
from pep_tf.training.weights import snapshot
from tests import tiny
from tests.training.interrupted import assert_same


def make(name="fm", split=tiny.DATA.train, stage="fit", model_options=None, **options) -> Loop:
    settings = tiny.settings(**options)
    model = tiny.model(name, **(model_options or {}))
    return Loop(stage, model, settings.optimizer(model), split, settings)


@pytest.fixture(scope="module")
def trained():
    """A loop after five steps."""
    loop = make()
    loop.run(5)
    return loop


def state_of(loop: Loop) -> dict[str, np.ndarray]:
    variables = [*loop.model.variables, *loop.optimizer.variables]
    return {str(index): np.array(v) for index, v in enumerate(variables)}


def test_steps_are_those_of_a_plain_loop():
    loop, model = make(), tiny.model("fm")
    optimizer = CoupledAdam(0.02, threshold_target=15.0)
    losses = []
    for epoch in range(2):
        for ids, labels in tiny.DATA.train.batches(32, seed=0, epoch=epoch):
            with tf.GradientTape() as tape:
                logits = model(ids, training=True)[:, 0]
                one = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
                loss = tf.reduce_mean(one)
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)
            losses.append(float(loss))

    assert loop.run(4) == pytest.approx(np.mean(losses[:4]), rel=1e-5)
    assert loop.run(100) == pytest.approx(np.mean(losses[4:7]), rel=1e-5)  # to the epoch's end
    assert loop.run(7) == pytest.approx(np.mean(losses[7:]), rel=1e-5)
    assert (loop.epoch, loop.batch, loop.step) == (2, 0, 14)
    for name, value in snapshot(model).items():
        np.testing.assert_allclose(snapshot(loop.model)[name], value, atol=1e-5, err_msg=name)


def test_where_it_stands():
    loop = make()
    places = []
    for steps in (3, 3, 3, 3):
        loop.run(steps)
        places.append((loop.epoch, loop.batch, loop.step))
    assert loop.batches_per_epoch == tiny.BATCHES
    assert places == [(0, 3, 3), (0, 6, 6), (1, 0, 7), (1, 3, 10)]


@pytest.mark.parametrize(
    ("name", "updates"),
    [("deepfm", "dense"), ("fm", "rowwise")],
)
def test_restored_in_mid_epoch_it_continues_bit_for_bit(name, updates, tmp_path):
    """DeepFM has dropout, whose random state is not among the weights."""
    path = tmp_path / "checkpoint"
    whole = make(name, updates=updates)
    whole.run(4)
    whole.save(path, {"kept": np.arange(3)}, {"note": [1, "two"]})
    losses = [whole.run(9), whole.run(5)]

    resumed = make(name, updates=updates, model_options={"seed": 9})
    extra, facts = resumed.restore(path, {"kept": np.zeros(3)})
    assert (resumed.epoch, resumed.batch, resumed.step) == (0, 4, 4)
    assert_same(extra, {"kept": np.arange(3)})
    assert facts == {"note": [1, "two"]}
    assert [resumed.run(9), resumed.run(5)] == losses
    assert (resumed.epoch, resumed.batch, resumed.step) == (1, 5, 12)
    assert_same(state_of(resumed), state_of(whole))


def test_saving_changes_nothing(trained, tmp_path):
    before = state_of(trained)
    trained.save(tmp_path / "checkpoint", {}, None)
    assert_same(state_of(trained), before)


@pytest.mark.parametrize(
    "other",
    [
        {"name": "deepfm"},
        {"stage": "prune"},
        {"model_options": {"embedding_dim": 3}},
        {"model_options": {"granularity": "field"}},
        {"model_options": {"pruning": "none"}},
    ],
    ids=str,
)
def test_checkpoint_of_another_model_or_stage(trained, tmp_path, other):
    path = tmp_path / "checkpoint"
    trained.save(path, {}, None)
    loop = make(**other)
    before = state_of(loop)
    with pytest.raises(RunError, match=r"checkpoint is the checkpoint of another model or stage"):
        loop.restore(path, {})
    assert_same(state_of(loop), before)
    assert loop.step == 0


def test_checkpoint_of_other_settings(trained, tmp_path):
    path = tmp_path / "checkpoint"
    trained.save(path, {}, None)
    with pytest.raises(RunError, match=r"other settings: l2 1e-05, here 0.5\. Resume"):
        make(l2=0.5).restore(path, {})
    make(epochs=99, checkpoint_every=3).restore(path, {})  # these do not touch a step


def test_ticket_or_results_in_place_of_a_checkpoint(tmp_path):
    path = tmp_path / "checkpoint"
    for facts in ({"pep_tf_ticket": 1}, [1, 2], None, 5):
        save_state(path, {"mask_bits": np.zeros(3, np.uint8)}, facts)
        with pytest.raises(RunError, match="checkpoint of another model or stage"):
            make().restore(path, {})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda arrays, facts: facts["place"].pop("batch"), "KeyError: 'batch'"),
        (lambda arrays, facts: facts["place"].update(step="x"), "`step` must be a whole number"),
        (lambda arrays, facts: facts.pop("facts"), "KeyError: 'facts'"),
        (lambda arrays, facts: facts.update(place=[1]), "TypeError"),
        (lambda arrays, facts: arrays.pop("extra/kept"), "KeyError: 'extra/kept'"),
        (lambda arrays, facts: arrays.update({"extra/kept": np.zeros(2)}), "reshape"),
    ],
)
def test_what_a_checkpoint_lacks_is_named(trained, tmp_path, change, named):
    path = tmp_path / "checkpoint"
    trained.save(path, {"kept": np.zeros(3)}, {})
    arrays, facts = load_state(path, "a checkpoint")
    change(arrays, facts)
    save_state(path, arrays, facts)
    loop = make()
    before = state_of(loop)
    with pytest.raises(RunError, match=f"checkpoint is damaged .*{named}.*delete it"):
        loop.restore(path, {"kept": np.zeros(3)})
    assert_same(state_of(loop), before)
    assert loop.step == 0


def test_a_checkpoint_sets_where_it_stands_and_nothing_else(trained, tmp_path):
    path = tmp_path / "checkpoint"
    trained.save(path, {}, {})
    arrays, facts = load_state(path, "a checkpoint")
    facts["place"]["stage"] = "another"
    save_state(path, arrays, facts)
    loop = make()
    loop.restore(path, {})
    assert (loop.stage, loop.step) == ("fit", 5)


def test_missing_checkpoint(tmp_path, trained):
    with pytest.raises(RunError, match="a checkpoint .*gone is missing"):
        trained.restore(tmp_path / "gone", {})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_names_the_steps(bad, tmp_path, monkeypatch):
    monkeypatch.setattr("pep_tf.training.loop._STEPS_A_CALL", 2)
    path = tmp_path / "checkpoint"
    train = tiny.DATA.train
    [(_, labels)] = tiny.DATA.train.batches(32, seed=0, start=3).take(1)
    poisoned = train.labels.copy()
    order = np.random.default_rng([0, 0]).permutation(len(poisoned))
    np.testing.assert_array_equal(train.labels[order[96:128]], labels)  # batch 3, counted from 0
    poisoned[order[100]] = bad
    split = ArraySplit(train.ids, train.labels, np.arange(len(poisoned)))
    split.labels = poisoned
    loop = make(split=split)
    loop.run(2)
    loop.save(path, {}, None)
    saved = path.read_bytes()
    with pytest.raises(
        RunError, match=r"loss became -?(nan|inf) in stage 'fit', between step 2 and step 4\."
    ):
        loop.run(5)
    assert path.read_bytes() == saved
    again = make()
    again.restore(path, {})
    assert again.step == 2
    assert all(np.isfinite(value).all() for value in snapshot(again.model).values())


def test_an_id_outside_its_field_in_training():
    ids = tiny.DATA.train.ids.copy()
    ids[17, 2] = 4
    split = ArraySplit(ids, tiny.DATA.train.labels, np.arange(len(ids)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"field `hour` \(column 2\)"):
        make(split=split).run(7)
