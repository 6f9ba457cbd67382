"""The configuration of a run: every default in one place, what a study or a flag changes on top."""

import dataclasses
import runpy
from collections.abc import Mapping
from typing import Any

from pep_tf.errors import RunError
from pep_tf.export.check import FORMATS
from pep_tf.layers import GRANULARITIES
from pep_tf.models import models_with, options_among
from pep_tf.tables.packed.values import DTYPES
from pep_tf.training import Settings
from pep_tf.training.budgets import check_budgets
from pep_tf.training.settings import UPDATES

AUTO = "auto"
GPU, CPU = "gpu", "cpu"  # devices for tables
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # policies of Keras
BOTH, NONE = "both", "none"  # formats to export in
LINEAR_AND_MORE = models_with("embedding", "first_order")


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run computes. Each field is a flag of the command line and a key of a study file.

    The defaults are the paper's for MovieLens-1M, but for `threshold_target` (see `Settings`).
    """

    dataset: str = "movielens"
    features: str = "paper"
    model: str = "fm"
    embedding_dim: int = 64
    baseline_dims: tuple[int, ...] = ()
    granularity: str = "feature_dim"
    threshold_init: float | str = -15.0
    threshold_learning_rate: float | None = None
    threshold_l2: float | None = None
    threshold_target: float = Settings.threshold_target
    prune_linear: bool = False
    budgets: tuple[str, ...] = ("50%", "20%", "10%", "5%", "1%")
    ticket_init: str = "original"
    no_retrain: bool = False
    batch_size: int = 1024
    learning_rate: float = 1e-3
    l2: float = 1e-5
    epochs: int = 60
    patience: int = 5
    prune_epochs: int = 60
    mlp_widths: tuple[int, ...] = (100, 100)
    dropout: float = 0.2
    attention_dropout: float = 0.4
    updates: str = Settings.updates
    dense_below: int = Settings.dense_below
    table_device: str = AUTO
    precision: str = "float32"
    seed: int = 0
    seeds: int = 1
    check_every: int = 50
    checkpoint_every: int = 1000
    export_dtype: str = "float32"
    export_format: str = "savedmodel"

    def entries(self, num_features: int, dim: int | None = None) -> int:
        """How many entries a budget is a part of: N x d, with first-order weights N x (d + 1)."""
        return num_features * ((dim or self.embedding_dim) + self.prune_linear)

    def model_options(self) -> dict[str, Any]:
        """The settings that are options of the model, as `build_model` takes them."""
        attention = {"dropout": self.attention_dropout}
        return options_among(self.model, {**vars(self), "attention": attention})

    def formats(self) -> tuple[str, ...]:
        """The formats to export in."""
        return {BOTH: FORMATS, NONE: ()}.get(self.export_format, (self.export_format,))

    def settings(self) -> Settings:
        """The part that the training loop takes."""
        names = {field.name for field in dataclasses.fields(Settings)}
        return Settings(**{k: v for k, v in vars(self).items() if k in names})


CHOICES = {
    "model": models_with("embedding"),
    "granularity": GRANULARITIES,
    "updates": UPDATES,
    "table_device": (AUTO, GPU, CPU),
    "precision": tuple(PRECISIONS),
    "ticket_init": ("original", "random"),
    "export_dtype": DTYPES,
    "export_format": (*FORMATS, BOTH, NONE),
}

HELP = {
    "dataset": "movielens (MovieLens-1M, or the small set where it cannot be had), movielens-1m, "
    "movielens-small, criteo, avazu, synthetic-criteo, synthetic-avazu",
    "features": "MovieLens-1M: 'paper' (7 fields) or 'with_ids' (9 fields, user and movie as well)",
    "model": ", ".join(models_with("embedding")),
    "embedding_dim": "embedding dimension before pruning",
    "baseline_dims": "embedding dimensions of further uniform baselines to compare with, comma-separated",
    "granularity": "one threshold for: global, dimension, feature, feature_dim, field, field_dim",
    "threshold_init": "thresholds at the start, or 'auto': from the steps available",
    "threshold_learning_rate": "learning rate of the thresholds, if not the common one",
    "threshold_l2": "L2 of the thresholds, if not the common one",
    "threshold_target": "value that L2 pulls thresholds to; 0 is the published method, which stalls "
    "near 10 % of the entries",
    "prune_linear": f"prune the first-order weights ({', '.join(LINEAR_AND_MORE)}) too: budgets then "
    "cover both tables, "
    "N x (d + 1) entries",
    "budgets": "entries to keep, comma-separated: counts (26425), fractions (0.1), percentages (10%)",
    "ticket_init": "retrain from the 'original' or from 'random' initial weights",
    "no_retrain": "report the tickets as they were cut, without retraining",
    "batch_size": "rows a step",
    "learning_rate": "learning rate of Adam",
    "l2": "coupled L2 of all parameters",
    "epochs": "epochs at most, of the baseline and of each ticket",
    "patience": "epochs without a better validation AUC before training stops",
    "prune_epochs": "epochs at most of pruning; budgets not reached by then are cut",
    "mlp_widths": f"hidden units of the MLP ({', '.join(models_with('mlp_widths'))}), comma-separated",
    "dropout": f"dropout of the MLP ({', '.join(models_with('dropout'))})",
    "attention_dropout": f"dropout of the attention weights ({', '.join(models_with('attention'))})",
    "updates": "rowwise: large tables only at the rows of the batch, the same up to a small error; "
    "dense: the paper's update of every entry at each step",
    "dense_below": "rowwise: tables of fewer entries are updated densely all the same",
    "table_device": "where tables and their moments are kept: 'gpu', 'cpu' (the GPU receives the rows of "
    "a batch), or 'auto': on the GPU if there is one and they fit",
    "precision": "arithmetic of the tower: float32, or bfloat16; weights and tables stay float32",
    "seed": "of split, initial weights, shuffling and dropout",
    "seeds": "repeat the run over this many seeds, from --seed on; a folder each below the run's",
    "check_every": "steps between two reports of the loss, while pruning also of the non-zeros",
    "checkpoint_every": "steps between two checkpoints",
    "export_dtype": "how an export stores the surviving numbers: float32, float16, int8",
    "export_format": "savedmodel (TF Serving), litert (a .tflite), both, none",
}

_FULL_ROWS = 10_000_000  # a click log of at least this many training rows gets the paper's s0


def type_name(field: dataclasses.Field[Any]) -> str:
    """As it is written: `int`, `float | None`, `tuple[int, ...]`."""
    return field.type.__name__ if type(field.type) is type else str(field.type)


def dataset_defaults(dataset: str, train_rows: int) -> dict[str, Any]:
    """What differs from `Config` by data set.

    The small MovieLens set has 62 steps an epoch: at the paper's s0 of -15 pruning would take 250
    epochs, so its thresholds start where the steps available allow. Click logs have the paper's
    MLP and, at full size, its s0.
    """
    if dataset == "movielens-1m":
        return {}
    if dataset == "movielens-small":
        return {"threshold_init": AUTO, "prune_epochs": 40}
    return {
        "threshold_init": -150.0 if train_rows >= _FULL_ROWS else AUTO,
        "mlp_widths": (400, 400, 400),
        "attention_dropout": 0.0,
        "epochs": 10,
        "prune_epochs": 10,
        "patience": 2,
    }


def make_config(dataset: str, train_rows: int, *changes: Mapping[str, Any]) -> Config:
    """The configuration for a data set.

    Args:
        dataset: name of the data set really used.
        train_rows: how many training rows it has.
        *changes: a study's, then the flags'; later ones win.

    Raises:
        RunError: an unknown key or a value of the wrong kind.
    """
    values: dict[str, Any] = {**dataset_defaults(dataset, train_rows), "dataset": dataset}
    for change in changes:
        values.update({k: v for k, v in change.items() if k != "dataset"})
    return _checked(values)


def _checked(values: Mapping[str, Any]) -> Config:
    known = {field.name for field in dataclasses.fields(Config)}
    if unknown := sorted(set(values) - known):
        raise RunError(f"Unknown settings {unknown}. Known are {sorted(known)}.")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    config = Config(**values)
    for name, choices in CHOICES.items():
        if getattr(config, name) not in choices:
            raise RunError(
                f"`{name}` must be one of {', '.join(choices)}. Received: {getattr(config, name)!r}"
            )
    check_budgets(config.budgets)
    if config.seeds < 1:
        raise RunError(f"`seeds` must be at least 1. Received: {config.seeds}")
    dims = config.baseline_dims
    if any(d < 1 or d == config.embedding_dim for d in dims) or len(set(dims)) < len(dims):
        raise RunError(
            "`baseline_dims` must be different numbers of at least 1, other than `embedding_dim` "
            f"({config.embedding_dim}), which is always trained. Received: {list(dims)}"
        )
    if config.no_retrain and config.ticket_init == "random":
        raise RunError("`ticket_init=random` has no effect with `no_retrain`: give one of them.")
    if config.prune_linear and config.model not in LINEAR_AND_MORE:
        raise RunError(
            f"`prune_linear` needs first-order weights, which `model={config.model}` has not. "
            f"Choose one of {', '.join(LINEAR_AND_MORE)}."
        )
    if config.threshold_init != AUTO:
        try:
            config = dataclasses.replace(config, threshold_init=float(config.threshold_init))
        except ValueError:
            raise RunError(
                f"`threshold_init` must be a number or 'auto'. Received: {config.threshold_init!r}"
            ) from None
    config.settings()
    return config


def load_study(path: str) -> dict[str, Any]:
    """Reads `CONFIG`, a dict of what differs, from a study file.

    Raises:
        RunError: a file that is missing, fails, has no `CONFIG`, or has an unknown key in it.
    """
    try:
        changes = runpy.run_path(path).get("CONFIG")
    except FileNotFoundError:
        raise RunError(f"--config={path}: there is no such file.") from None
    except Exception as error:
        raise RunError(f"--config={path} fails: {type(error).__name__}: {error}") from error
    if not isinstance(changes, dict):
        raise RunError(f"--config={path} must define a dict `CONFIG`.")
    _checked(changes)
    return changes
