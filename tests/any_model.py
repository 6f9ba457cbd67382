"""Tiny models of the kinds that people have, and rows for them."""

import keras
import numpy as np

USERS, ITEMS, WORDS = 12, 20, 9


def rows(count: int = 64, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs by name and labels that depend on the user and the item."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, USERS, count), rng.integers(0, ITEMS, count)
    words = rng.integers(1, WORDS, (count, 4)) * (rng.random((count, 4)) < 0.7)
    label = (rng.random(count) < 0.2 + 0.4 * (user % 2) + 0.3 * (item % 2)).astype(np.float32)
    named = {"user": user, "item": item, "words": words}
    return {name: ids.astype(np.int32) for name, ids in named.items()}, label


def inputs(*names: str) -> dict[str, keras.KerasTensor]:
    """Symbolic inputs of these names."""
    shapes = {"user": (), "item": (), "words": (4,)}
    return {name: keras.Input(shapes[name], dtype="int32", name=name) for name in names}


def functional() -> keras.Model:
    """Dict inputs, two tables of different widths and a bias for each item."""
    given = inputs("user", "item")
    user = keras.layers.Embedding(USERS, 4, name="user_table")(given["user"])
    item = keras.layers.Embedding(ITEMS, 3, name="item_table")(given["item"])
    bias = keras.layers.Embedding(ITEMS, 1, name="item_bias")(given["item"])
    joined = keras.layers.Concatenate()([user, item])
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(5, activation="relu")(joined))
    logit = keras.layers.Add()([keras.layers.Dense(1)(hidden), bias])
    return keras.Model(given, logit)


def tower(name: str, size: int) -> keras.Model:
    """Ids to vectors of 3; the layers are named alike in all towers."""
    ids = keras.Input((), dtype="int32")
    embedded = keras.layers.Embedding(size, 4, name="embedding")(ids)
    return keras.Model(ids, keras.layers.Dense(3, name="dense")(embedded), name=name)


def two_towers() -> keras.Model:
    """Nested models whose layers have the same names."""
    given = inputs("user", "item")
    user, item = tower("user_tower", USERS), tower("item_tower", ITEMS)
    return keras.Model(given, keras.layers.Dot(1)([user(given["user"]), item(given["item"])]))


def shared_table() -> keras.Model:
    """One table for two inputs, by way of two nested models."""
    table = keras.layers.Embedding(ITEMS, 3, name="items")
    one = keras.Input((), dtype="int32")
    many = keras.Input((4,), dtype="int32")
    first = keras.Model(one, table(one), name="first")
    second = keras.Model(many, keras.layers.GlobalAveragePooling1D()(table(many)), name="second")
    given = inputs("item", "words")
    both = keras.layers.Concatenate()([first(given["item"]), second(given["words"])])
    return keras.Model(given, keras.layers.Dense(1)(both))


def sequential() -> keras.Model:
    layers = [keras.layers.Embedding(WORDS, 3), keras.layers.Flatten(), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((4,), dtype="int32"), *layers])


@keras.saving.register_keras_serializable(package="tests")
class Scorer(keras.Model):
    """Holds two layers of its arguments and makes two without names; builds as it is called."""

    def __init__(self, user: keras.layers.Layer, item: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.user, self.item = user, item
        self.hidden = [keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)]

    def call(self, inputs):
        user, item = self.user(inputs["user"]), self.item(inputs["item"])
        return self.hidden[1](self.hidden[0](keras.ops.concatenate([user, item], -1)))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        layers = {"user": serialize(self.user), "item": serialize(self.item)}
        return {**super().get_config(), **layers}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for name in ("user", "item"):
            config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)


def subclassed() -> keras.Model:
    model = Scorer(keras.layers.Embedding(USERS, 4), keras.layers.Embedding(ITEMS, 3))
    model(rows()[0])
    return model


@keras.saving.register_keras_serializable(package="tests")
class Closed(keras.Model):
    """A model that makes its layers itself, and whose configuration does not tell of them."""

    def __init__(self, embedding=keras.layers.Embedding, **kwargs):
        super().__init__(**kwargs)
        self.table = embedding(USERS, 4, name="users")
        self.second = embedding(ITEMS, 2)
        self.dense = keras.layers.Dense(1)

    def call(self, inputs):
        both = [self.table(inputs["user"]), self.second(inputs["item"])]
        return self.dense(keras.ops.concatenate(both, -1))

    def get_config(self):
        return {"name": self.name}


def build_fn(embedding) -> keras.Model:
    return Closed(embedding)


def built(model: keras.Model) -> keras.Model:
    """The model after a call."""
    model(rows()[0])
    return model


KINDS = {
    "functional": functional,
    "two_towers": two_towers,
    "shared_table": shared_table,
    "sequential": sequential,
    "subclassed": subclassed,
}


def batch(model: keras.Model, seed: int = 0, count: int = 64):
    """Inputs and labels for one of these models."""
    named, labels = rows(count, seed)
    if isinstance(model, keras.Sequential):
        return named["words"], labels[:, None]
    names = [x.name for x in model.inputs] if hasattr(model, "inputs") and model.inputs else named
    return {name: named[name] for name in names}, labels[:, None]
