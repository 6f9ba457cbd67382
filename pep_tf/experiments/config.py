"""The configuration of a run: every default in one place, what a study or a flag changes on top."""

import dataclasses
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pep_tf.data import DATA_SETS, FeatureSchema
from pep_tf.data.data_set import defaults_by_rows
from pep_tf.errors import RunError
from pep_tf.experiments.effects import check_effects
from pep_tf.export.check import FORMATS
from pep_tf.layers import GRANULARITIES
from pep_tf.models import models_with, options_among
from pep_tf.numbers import listed, read_number, real
from pep_tf.paths import resolve
from pep_tf.python_file import read_dict
from pep_tf.tables.packed.values import DTYPES, LEARNED, ROUNDED_LATER, StoredAs
from pep_tf.tables.small import SCHEMES, Scheme
from pep_tf.tables.small.small_table import SmallTable
from pep_tf.training import METHODS, Settings
from pep_tf.training.budgets import ByteBudget, check_budgets, resolve_table_budgets
from pep_tf.training.methods import PEP
from pep_tf.training.methods.by_bytes import by_bytes
from pep_tf.training.settings import UPDATES
from pep_tf.training.stored_size import StoredSize
from pep_tf.training.ticket import INITS

AUTO = "auto"
GPU, CPU = "gpu", "cpu"  # devices for tables
TF32 = "tf32"
# Policies of Keras.
PRECISIONS = {"float32": "float32", TF32: "float32", "bfloat16": "mixed_bfloat16"}
BOTH, NONE = "both", "none"  # formats to export in
LINEAR_AND_MORE = models_with("embedding", "first_order")


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """What a run computes. Each field is a flag of the command line and a key of a study file.

    The defaults are the paper's for MovieLens-1M, but for `threshold_target` (see `Settings`, whose
    fields are a part of these).
    """

    _LEAST = {
        **Settings._LEAST,
        **dict.fromkeys(("embedding_dim", "baseline_dims", "mlp_widths", "seeds"), 1),
        **dict.fromkeys(("cross_layers", "cross_rank"), 1),
    }
    dataset: str = "movielens"
    features: str = "paper"
    model: str = "fm"
    embedding_dim: int = 64
    baseline_dims: tuple[int, ...] = ()
    method: str = PEP
    granularity: str = "feature_dim"
    threshold_init: float | str = -15.0
    prune_linear: bool = False
    budgets: tuple[str, ...] = ("50%", "20%", "10%", "5%", "1%")
    ticket_init: str = "original"
    retrain_learning_rate: float | None = None
    no_retrain: bool = False
    mlp_widths: tuple[int, ...] = (100, 100)
    dropout: float = 0.2
    attention_dropout: float = 0.4
    cross_layers: int = 3
    cross_rank: int | None = None
    table_device: str = AUTO
    precision: str = "float32"
    deterministic: bool = True
    seeds: int = 1
    export_dtype: str = "float32"
    first_order_dtype: str | None = None
    export_format: str = "savedmodel"
    export_keys: bool = False

    def __post_init__(self) -> None:
        """Raises RunError for a value that its field cannot have."""
        super().__post_init__()
        for name in ("dropout", "attention_dropout"):
            if not 0 <= (rate := getattr(self, name)) < 1:
                raise RunError(f"`{name}` must be at least 0 and below 1. Received: {rate}")
        for name, known in choices().items():
            if (value := getattr(self, name)) not in known:
                raise RunError(
                    f"`{name}` must be one of {', '.join(filter(None, known))}. Received: {value!r}"
                )
        if self.threshold_init != AUTO:
            if read_number(self.threshold_init) is None:
                raise RunError(
                    f"`threshold_init` must be a number or 'auto'. Received: {self.threshold_init!r}"
                )
            object.__setattr__(self, "threshold_init", real("threshold_init", self.threshold_init))
        object.__setattr__(self, "budgets", listed("budgets", self.budgets, "'20%',5000"))
        check_budgets(self.budgets)
        dims = self.baseline_dims
        if self.embedding_dim in dims or len(set(dims)) < len(dims):
            raise RunError(
                "`baseline_dims` must be different numbers, other than `embedding_dim` "
                f"({self.embedding_dim}), which is always trained. Received: {list(dims)}"
            )
        for name in ("prune_linear", "first_order_dtype"):
            if getattr(self, name) and self.model not in LINEAR_AND_MORE:
                raise RunError(
                    f"`{name}` needs first-order weights, which `model={self.model}` has not. "
                    f"Choose one of {', '.join(LINEAR_AND_MORE)}."
                )
        for name in ("export_dtype", "first_order_dtype"):
            if (dtype := getattr(self, name)) in LEARNED and self.method in SCHEMES:
                raise RunError(
                    f"`{name}` must be one of {', '.join(ROUNDED_LATER)} for method={self.method}, whose "
                    f"tables are not rounded in training. Received: {dtype!r}"
                )
        if self.retrain_learning_rate is not None and self.retrain_learning_rate <= 0:
            raise RunError(
                f"`retrain_learning_rate` must be above 0. Received: {self.retrain_learning_rate}"
            )

    def entries(self, num_features: int, dim: int | None = None) -> int:
        """The entries of which a budget is a share: N x d, with first-order weights N x (d + 1)."""
        return num_features * ((dim or self.embedding_dim) + self.prune_linear)

    def retraining(self, settings: Settings) -> Settings:
        """Those settings as tickets are retrained."""
        rate = self.retrain_learning_rate
        return settings if rate is None else dataclasses.replace(settings, learning_rate=rate)

    def stored_as(self, rounded: bool = True) -> StoredAs:
        """How the numbers of tables are stored; without rounding in training in a type of as many bits."""
        own = (self.export_dtype, self.first_order_dtype or self.export_dtype)
        table, first_order = own if rounded else (LEARNED.get(dtype, dtype) for dtype in own)
        if table == first_order:
            return table
        return {"embedding": table, "first_order": first_order}

    def storage(self, schema: FeatureSchema) -> StoredSize:
        """What counts the bytes of the run's tables."""
        shapes = {"embedding": (schema.num_features, self.embedding_dim)}
        if self.model in LINEAR_AND_MORE:
            shapes["first_order"] = (schema.num_features, 1)
        cut = list(shapes)[: 1 + self.prune_linear]
        sizes = dict.fromkeys(shapes, schema.sizes)
        return StoredSize(shapes, cut, self.stored_as(), sizes, paired=True)

    def resolved_budgets(self, schema: FeatureSchema) -> list[Any]:
        """The budgets as entries or bytes of the run's tables."""
        entries = {"tables": self.entries(schema.num_features)}
        return resolve_table_budgets(self.budgets, entries, self.storage(schema))

    def schemes(self, schema: FeatureSchema) -> list[Scheme]:
        """The small tables of the budgets, largest first, if the method makes such tables.

        Raises:
            NumberError: a budget below the smallest of the method.
        """
        if self.method not in SCHEMES:
            return []
        storage = self.storage(schema)
        weights = storage.without(storage.cut)

        def stored_bytes(scheme: Scheme) -> int:
            return SmallTable.bytes_of(scheme, self.export_dtype) + weights

        found: dict[int, Scheme] = {}
        for budget in self.resolved_budgets(schema):
            told = (
                (budget.bytes, stored_bytes, "bytes")
                if isinstance(budget, ByteBudget)
                else (budget,)
            )
            scheme = SCHEMES[self.method].fitting(schema.sizes, self.embedding_dim, *told)
            found[scheme.numbers] = scheme
        return sorted(found.values(), key=lambda scheme: -scheme.numbers)

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


def choices() -> dict[str, tuple[Any, ...]]:
    """The allowed words of each field that has some, with those added by a study or a plug-in."""
    return {
        "model": models_with("embedding"),
        "method": (*METHODS, *SCHEMES),
        "granularity": tuple(GRANULARITIES),
        "updates": UPDATES,
        "table_device": (AUTO, GPU, CPU),
        "precision": tuple(PRECISIONS),
        "ticket_init": INITS,
        "export_dtype": DTYPES,
        "first_order_dtype": (None, *DTYPES),
        "export_format": (*FORMATS, BOTH, NONE),
    }


def make_config(
    dataset: str, train_rows: int, *changes: Mapping[str, Any], given: Collection[str] = ()
) -> Config:
    """The configuration for a data set.

    Args:
        dataset: name of the data set really used.
        train_rows: how many training rows it has.
        *changes: a study's, then the flags'; later ones win.
        given: names that a person has set, to whatever value; those that differ from the default of
            the data set count as such without it.

    Raises:
        RunError: an unknown name, a value that it cannot have, or one that can have no effect.
    """
    by_rows = DATA_SETS[dataset].defaults if dataset in DATA_SETS else defaults_by_rows
    defaults = {**by_rows(train_rows), "dataset": dataset}
    asked = {k: v for change in changes for k, v in change.items() if k != "dataset"}
    _check_names(asked, "")
    defaults |= chosen_by_bytes(asked)
    default, config = Config(**defaults), Config(**{**defaults, **asked})
    differing = {name for name in asked if getattr(config, name) != getattr(default, name)}
    check_effects(vars(config), differing | set(given))
    return config


def chosen_by_bytes(asked: Mapping[str, Any]) -> dict[str, str]:
    """Settings that follow from budgets in bytes, beside those asked for; none if budgets are of entries."""
    model, budgets = asked.get("model", Config.model), asked.get("budgets", Config.budgets)
    if (found := by_bytes(model, budgets, asked)) is None:
        return {}
    chosen = {"method": found.method, "export_dtype": found.dtype, "ticket_init": found.init}
    return {name: value for name, value in chosen.items() if name not in asked}


def _check_names(values: Iterable[str], where: str) -> None:
    known = {field.name for field in dataclasses.fields(Config)}
    if unknown := sorted(set(values) - known):
        raise RunError(f"{where}Unknown settings {unknown}. Known are {sorted(known)}.")


def load_study(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads `CONFIG`, a dict of what differs, from a study file.

    Its values are checked with those of the flags, which may replace them, by `make_config`.

    Raises:
        RunError: a file that is missing, fails, has no `CONFIG`, or has an unknown name in it.
    """
    path = resolve(path)
    changes = read_dict(path, "CONFIG", "config")
    _check_names(map(str, changes), f"--config={path}: ")
    return changes
