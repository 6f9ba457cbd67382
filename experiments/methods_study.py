"""Methods side by side on one data set, by one protocol; a study says which methods, sizes and data."""

import dataclasses
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from experiments.methods_picture import draw
from pep_tf.data import CTRData
from pep_tf.data.dataset import Split
from pep_tf.errors import NumberError, PepError, RunError
from pep_tf.experiments.config import Config, make_config
from pep_tf.experiments.results import Row
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.export.check import saved_model_answer
from pep_tf.export.inspect import inspect
from pep_tf.export.model_card import read_card
from pep_tf.tables.small import SCHEMES
from pep_tf.training import Silent
from pep_tf.training.metrics import metrics_of
from pep_tf.training.state import save_text

SEARCHED = ("3%bytes", "1%bytes")
# Of numbers that are rounded in training, and of those of small tables and the full one, which are not.
TRIALS: tuple[dict[str, Any], ...] = (
    {"export_dtype": "lsq4"},
    {"export_dtype": "lsq4", "prune_linear": True},
    {"export_dtype": "lsq8"},
)
ROUNDED_LATER: tuple[dict[str, Any], ...] = ({}, {"export_dtype": "int4"}, {"learning_rate": 3e-3})
FULL, UNIFORM = CONTROLS = ("full", "uniform")  # whose sizes are those of their widths
METHODS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        # Tickets are not looked at, whatever their budget.
        CONTROLS,
        {"method": "random", "no_retrain": True, "budgets": ("50%",)},
    ),
    "prefix": {"method": "prefix", "ticket_init": "trained"},
    "magnitude": {"method": "magnitude"},
    "pep": {"method": "pep"},
    "pep_field_dim": {"method": "pep", "granularity": "field_dim"},
    **{name: {"method": name} for name in ("random", "magnitude_rounds", "darts", *SCHEMES)},
}


@dataclasses.dataclass(frozen=True)
class Study:
    """A study over methods, seeds and sizes on one data set.

    Attributes:
        out: folder of everything.
        config: what all runs have in common; fields of `Config`.
        load: the data set as a seed splits it.
        methods: names of `METHODS`.
        sizes: budgets, the largest first.
        seeds: how many, from 0 on.
        trials: how many of `TRIALS` a method has.
        dims: of the uniform tables.
    """

    out: pathlib.Path
    config: dict[str, Any]
    load: Callable[[int], CTRData]
    methods: Sequence[str]
    sizes: Sequence[str]
    seeds: int
    trials: int
    dims: Sequence[int]

    def __call__(self) -> dict[str, Any]:
        """Does what is not done yet; returns what `results.json` holds."""
        done: dict[str, Any] = {"search": {}, "cannot": {}, "rows": []}
        self._check_folder()
        for seed in range(self.seeds):
            data = self.load(seed)
            for method in dict.fromkeys((FULL, *self.methods)):
                for number, sizes in self._chosen(method, data, done["search"]).items():
                    found = self._cell(method, data, seed, number, sizes)
                    told = {f"{method} {size}": why for size, why in found["cannot"].items()}
                    done["cannot"] |= told
                    done["rows"] += found["rows"]
                done["summary"] = summary(done["rows"])
                save_text(self.out / "results.json", json.dumps(done, indent=1) + "\n")
                draw(done["summary"], self.out)
        return done

    def _check_folder(self) -> None:
        """Raises RunError where the folder is that of a study with another configuration."""
        told, path = json.loads(json.dumps(self.config)), self.out / "study.json"
        if path.exists() and (there := json.loads(path.read_text("utf-8"))) != told:
            raise RunError(
                f"`out` must be another folder: {self.out} has a study of {there}. Received: {told}"
            )
        save_text(path, json.dumps(told, indent=1) + "\n")

    def _trials(self, method: str) -> Sequence[dict[str, Any]]:
        return (ROUNDED_LATER if method in (FULL, *SCHEMES) else TRIALS)[: self.trials]

    def _chosen(self, method: str, data: CTRData, search: dict[str, Any]) -> dict[int, list[str]]:
        """Which sizes are of the settings of which trial: that of the highest validation AUC on seed 0."""
        searched = [size for size in SEARCHED if size in self.sizes] or self.sizes[-1:]
        if self.trials == 1 or method == FULL:
            return {0: list(self.sizes)}
        if method not in search:
            tried: dict[str, list[float]] = {size: [] for size in searched}
            for number in range(self.trials):
                rows = self._cell(method, data, 0, number, searched)["rows"]
                aucs = {row["size"]: row["stored_validation_auc"] for row in rows}
                for size in searched:
                    tried[size].append(aucs.get(size, aucs.get(None, 0.0)))
            search[method] = {"trials": self._trials(method), "validation_auc": tried}
        chosen: dict[int, list[str]] = {}
        for size in self.sizes:
            nearest = min(searched, key=lambda own: abs(np.log(share(own) / share(size))))
            best = int(np.argmax(search[method]["validation_auc"][nearest]))
            chosen.setdefault(best, []).append(size)
        return chosen

    def _cell(
        self, method: str, data: CTRData, seed: int, number: int, sizes: Sequence[str]
    ) -> dict[str, Any]:
        """The rows of a method on one seed at some sizes, each from its file if it is done."""
        path = self.out / "cells" / f"{method}_seed_{seed}_trial_{number}"
        found: dict[str, Any] = {"rows": [], "cannot": {}}
        left = list(sizes)
        for file in sorted(path.glob("*/rows.json")):
            own = json.loads(file.read_text("utf-8"))
            found["rows"] += [row for row in own["rows"] if row["size"] in (*sizes, None)]
            found["cannot"] |= {k: v for k, v in own["cannot"].items() if k in sizes}
            left = [size for size in left if size not in own["sizes"]]
        if not left or (method in CONTROLS and found["rows"]):
            return found
        name = "all" if method in CONTROLS else "_".join(left).replace("%bytes", "")
        new = self._new(path / name, method, data, seed, number, left)
        return {
            "rows": found["rows"] + new["rows"],
            "cannot": found["cannot"] | new["cannot"],
        }

    def _new(
        self,
        path: pathlib.Path,
        method: str,
        data: CTRData,
        seed: int,
        number: int,
        sizes: Sequence[str],
    ) -> dict[str, Any]:
        started, cannot = time.time(), dict[str, str]()
        settings = self._trials(method)[number]
        changes = {**self.config, **METHODS[method], **settings, "seed": seed}
        if method in CONTROLS:
            changes["baseline_dims"] = tuple(self.dims) if method == UNIFORM else ()
        else:
            cannot = {size: why for size in sizes if (why := _refusal(changes, size, data))}
            changes["budgets"] = tuple(size for size in sizes if size not in cannot)
        rows = self._rows(path, method, changes, data)
        base = make_config(data.name, data.train.num_rows, changes).storage(data.schema).base
        for row in rows:
            row["size"] = None if method in CONTROLS else _size(row, changes["budgets"], base)
        rows = [{"method": method, "settings": settings} | row for row in rows]
        found = {"rows": rows, "cannot": cannot, "sizes": list(sizes)}
        save_text(path / "rows.json", json.dumps(found, indent=1) + "\n")
        seconds = time.time() - started
        print(f"{path.parent.name} {path.name}: {len(rows)} rows in {seconds:.0f} s", flush=True)
        return found

    def _rows(
        self, path: pathlib.Path, method: str, changes: dict[str, Any], data: CTRData
    ) -> list[dict[str, Any]]:
        if not changes["budgets"]:
            return []
        config = make_config(data.name, data.train.num_rows, changes)
        folder = RunFolder(path)
        folder.open(dataclasses.asdict(config), data, resume=folder.begun)
        if method != FULL and not folder.has_row("baseline"):
            folder.finish("baseline", self._baseline(config.seed))  # the same table, trained once
        Run(config, data, folder, Silent())()
        exported = [_measured(version, data) for version in sorted((path / "export").glob("*/1"))]
        return [
            row
            for row in exported
            if (row["stage"] in ("baseline", "uniform")) == (method in CONTROLS)
        ]

    def _baseline(self, seed: int) -> Row:
        """The uniform table of full width on a seed, which is done before other methods."""
        return RunFolder(self.out / "cells" / f"{FULL}_seed_{seed}_trial_0" / "all").row("baseline")


def share(size: str) -> float:
    """The share of the bytes that a size is."""
    return float(size.removesuffix("%bytes"))


def _size(row: dict[str, Any], sizes: Sequence[str], base: int) -> str:
    """The smallest of the sizes that a table is within."""
    fitting = [size for size in sizes if row["table_bytes"] <= share(size) / 100 * base]
    return min(fitting, key=share)


def _refusal(changes: dict[str, Any], size: str, data: CTRData) -> str | None:
    """Why a method cannot have a size; None if it can."""
    config: Config = make_config(data.name, data.train.num_rows, changes | {"budgets": (size,)})
    try:
        config.resolved_budgets(data.schema)
        config.schemes(data.schema)
    except NumberError as error:
        return str(error)
    return None


def _measured(version: pathlib.Path, data: CTRData) -> dict[str, Any]:
    """A row with the AUC and the bytes of what is stored."""
    row, sizes = read_card(version)["metrics"], inspect(version)["bytes"]
    return {
        **{
            name: row[name]
            for name in ("stage", "seed", "embedding_dim", "nnz", "best_epoch", "epochs", "capped")
        },
        **{name: row[name] for name in ("validation_auc", "test_auc", "seconds")},
        "table_bytes": sizes["values"] + sizes["indices"] + sizes["first_order"],
        "stored_validation_auc": _stored_auc(version, data.validation),
        "stored_test_auc": _stored_auc(version, data.test),
    }


def _stored_auc(version: pathlib.Path, split: Split) -> float:
    batches = [(ids.numpy(), labels.numpy()) for ids, labels, *_ in split.batches(1 << 16)]
    answers = [saved_model_answer(version, {"ids": ids}).astype(np.float64) for ids, _ in batches]
    answer = np.concatenate(answers)
    return metrics_of(
        np.concatenate([own for _, own in batches]), np.log(answer) - np.log1p(-answer)
    ).auc


def summary(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, and paired differences to the full float32 table, a line a method and size."""
    rows = list(rows)
    full = {row["seed"]: row["test_auc"] for row in rows if row["stage"] == "baseline"}
    lines: dict[tuple[str, Any], list[dict[str, Any]]] = {}
    places: dict[tuple[str, int], int] = {}
    for row in sorted(rows, key=lambda row: -row["table_bytes"]):
        cell = (row["method"], row["seed"])
        places[cell] = places.get(cell, -1) + 1
        # Controls have no size asked for, and the same widths on each seed, in this order.
        lines.setdefault((row["method"], row.get("size") or places[cell]), []).append(row)
    told = []
    for (method, _), own in sorted(lines.items()):
        differences = [row["stored_test_auc"] - full[row["seed"]] for row in own]
        told.append(
            {
                "method": method,
                "table_bytes": statistics.fmean(row["table_bytes"] for row in own),
                "numbers": statistics.fmean(row["nnz"] for row in own),
                "seeds": [row["seed"] for row in own],
                "stored_test_auc": statistics.fmean(row["stored_test_auc"] for row in own),
                "difference_to_full": statistics.fmean(differences),
                "deviation": statistics.stdev(differences) if len(own) > 1 else None,
                "capped": any(row["capped"] for row in own),
            }
        )
    return told


def check_methods(asked: Sequence[str], model: str) -> None:
    """Raises PepError for a name that is none of `METHODS`, or a method that the model cannot have."""
    known = [name for name in METHODS if model == "fm" or name != "prefix"]
    if unknown := sorted(set(asked) - set(known)):
        raise PepError(
            f"`methods` must be some of {', '.join(known)} for model={model}. Received: {', '.join(unknown)}"
        )
