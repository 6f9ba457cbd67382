"""A data set and models so small that a test can train them."""

import numpy as np

from pep_tf.data import ArraySplit, CTRData, FeatureSchema
from pep_tf.layers import TicketEmbedding
from pep_tf.models import CTRModel, build_model, options_among
from pep_tf.training import Settings

FIELDS = {"user": 5, "item": 7, "hour": 4}
DIM = 4
ENTRIES = sum(FIELDS.values()) * DIM
BATCHES = 7  # an epoch: 200 rows in batches of 32, the last one of 8


def split(rows: int, seed: int) -> ArraySplit:
    """Rows whose label depends on the user and on the hour, with noise."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, list(FIELDS.values()), (rows, len(FIELDS)))
    chance = 0.15 + 0.5 * (ids[:, 0] % 2) + 0.2 * (ids[:, 2] % 2)
    return ArraySplit(ids, rng.random(rows) < chance, np.arange(rows) + 1000 * seed)


DATA = CTRData("tiny", FeatureSchema.of(FIELDS), split(200, 0), split(120, 1), split(120, 2))


def model(name: str = "fm", **options) -> CTRModel:
    """A built model; its weights depend on the options alone."""
    small = {"mlp_widths": (6,), "attention": {"width": 4, "layers": 1, "dropout": 0.1}}
    tower = options_among(name, small)
    if name == "linear":  # which has no table: what a test asks of tables is not asked of it
        options = {k: v for k, v in options.items() if k not in ("threshold_init", "pruning")}
    elif "embedding" not in options:
        options = {"embedding_dim": DIM, **options}
    return build_model(name, FIELDS, **{**tower, **options})


def ticket() -> TicketEmbedding:
    """A ticket of half of the entries, none of them zero."""
    rng = np.random.default_rng(0)
    kept = rng.random((sum(FIELDS.values()), DIM)) < 0.5
    layer = TicketEmbedding.of_mask(np.packbits(kept, axis=1), DIM, name="embedding")
    layer.entries.assign(rng.uniform(0.01, 0.05, layer.entries.shape))
    return layer


def settings(**options) -> Settings:
    """Settings under which the tiny models learn something within three epochs."""
    common = {"batch_size": 32, "learning_rate": 0.02, "epochs": 3, "prune_epochs": 3}
    options = {"updates": "dense", **common, **options}
    if options["updates"] == "rowwise":
        options = {"dense_below": 0, **options}
    return Settings(**options)
