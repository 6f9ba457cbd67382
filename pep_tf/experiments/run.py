"""A run from configuration to results: baselines, prune, tickets, SavedModels."""

import dataclasses
import functools
import json
import pathlib
import shutil
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf import api, training
from pep_tf.data import CTRData
from pep_tf.errors import RunError
from pep_tf.experiments.config import AUTO, Config
from pep_tf.experiments.environment import versions
from pep_tf.experiments.feature_counts import count_features, save_feature_counts
from pep_tf.experiments.results import Results, Row, stored_bytes
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.export.inspect import inspect
from pep_tf.models import CTRModel, build_model
from pep_tf.training import FitResult, Reporter, resolve_budgets
from pep_tf.training.prune import facts_of
from pep_tf.training.state import save_text
from pep_tf.training.threshold_start import threshold_schedule

_EXPORT_TOLERANCE = 1e-6  # largest difference of a probability between model and SavedModel


class Run:
    """One run in its folder.

    Args:
        config: what to compute.
        data: the data set.
        folder: where results go; opened with the configuration.
        reporter: receives the progress.
    """

    def __init__(
        self, config: Config, data: CTRData, folder: RunFolder, reporter: Reporter
    ) -> None:
        self.config, self.data, self.folder, self.reporter = config, data, folder, reporter
        self.threshold_init, rate = self._threshold_schedule()
        self.settings = dataclasses.replace(config.settings(), threshold_learning_rate=rate)
        self.entries = data.schema.num_features * config.embedding_dim
        resolve_budgets(config.budgets, self.entries)  # refuses a count that is too large

    def __call__(self) -> Results:
        """Does what is not done yet and returns all rows."""
        self._count_features()
        rows = [self._stage("baseline", self._uniform, self.config.embedding_dim)]
        for dim in self.config.baseline_dims:
            rows.append(self._stage(f"uniform_{dim}", self._uniform, dim))
        for ticket in self._tickets():
            rows.append(self._stage(f"ticket_{ticket.budget}", self._retrain, ticket))
        results = Results(rows)
        results.save(self.folder.path)
        shutil.rmtree(self.folder.work, ignore_errors=True)
        return results

    def model(self, pruning: str, dim: int | None = None) -> CTRModel:
        """A fresh model; the same seed gives the same weights whatever the pruning."""
        config = self.config
        return build_model(
            config.model,
            self.data.schema.size_by_name,
            embedding_dim=dim or config.embedding_dim,
            granularity=config.granularity,
            threshold_init=self.threshold_init,
            pruning=pruning,
            seed=config.seed,
            mlp_widths=config.mlp_widths,
            dropout=config.dropout,
            attention={"dropout": config.attention_dropout},
        )

    def _threshold_schedule(self) -> tuple[float, float | None]:
        """s0 and the thresholds' learning rate."""
        config = self.config
        if config.threshold_init != AUTO:
            return float(config.threshold_init), config.threshold_learning_rate
        steps = config.prune_epochs * -(-self.data.train.num_rows // config.batch_size)
        rate = config.threshold_learning_rate or config.learning_rate
        limit = (6 / (self.data.schema.num_features + config.embedding_dim)) ** 0.5
        return threshold_schedule(steps, rate, limit)

    def _stage(self, name: str, work: Callable[..., Row], *arguments: Any) -> Row:
        row = self.folder.row(name)
        if row is None:
            row = work(name, *arguments)
            self.folder.finish(name, row)
        return row

    def _count_features(self) -> None:
        path = self.folder.path / "feature_counts.safetensors"
        if not path.exists():
            save_feature_counts(path, self.data.schema, count_features(self.data))

    def _uniform(self, stage: str, dim: int) -> Row:
        """Trains a table of one width, of which nothing is pruned."""
        model = self.model("none", dim)
        result = training.fit(
            model,
            self.data,
            self.settings,
            stage=stage.replace("_", " "),
            checkpoint=self.folder.checkpoint(stage),
            reporter=self.reporter,
        )
        self.folder.note_history(stage, result.history)
        kind = "baseline" if dim == self.config.embedding_dim else "uniform"
        row = self._row(kind, "original", self.data.schema.num_features * dim, model, result)
        export = functools.partial(api.export, model, **facts_of(self.data))
        return self._export(stage, row, model, export)

    def _tickets(self) -> list[api.Ticket]:
        """The tickets, from their files if pruning has finished."""
        done = self.folder.tickets / "done.json"
        if not done.exists():
            work = self.folder.work / "prune"
            result = training.prune(
                self.model("threshold"),
                self.data,
                self.settings,
                self.config.budgets,
                folder=work,
                reporter=self.reporter,
            )
            for ticket in result.tickets:
                ticket.save(self._ticket_path(ticket.budget))
            self.folder.note_history("prune", result.history)
            facts = {"budgets": [t.budget for t in result.tickets], "epochs": result.epochs}
            save_text(done, json.dumps({**facts, "seconds": result.seconds}) + "\n")
            shutil.rmtree(work, ignore_errors=True)
        budgets = json.loads(done.read_text("utf-8"))["budgets"]
        return [api.Ticket.load(self._ticket_path(budget)) for budget in budgets]

    def _ticket_path(self, budget: int) -> pathlib.Path:
        return self.folder.tickets / f"ticket_{budget}.safetensors"

    def _retrain(self, stage: str, ticket: api.Ticket) -> Row:
        if self.config.no_retrain:
            ticket.model = ticket.rebuild("pruned")
            evaluate = training.Evaluator(ticket.model)
            validation, test = evaluate(self.data.validation), evaluate(self.data.test)
            ticket.result = FitResult(validation, test, 0, 0, 0.0)
        else:
            ticket.retrain(
                self.data,
                init=self.config.ticket_init,
                settings=self.settings,
                checkpoint=self.folder.checkpoint(stage),
                reporter=self.reporter,
            )
        assert ticket.model is not None
        assert ticket.result is not None
        kind = "pruned" if self.config.no_retrain else "ticket"
        init = kind if self.config.no_retrain else self.config.ticket_init
        self.folder.note_history(stage, ticket.result.history)
        row = self._row(kind, init, ticket.budget, ticket.model, ticket.result)
        return self._export(stage, row, ticket.model, ticket.export)

    def _export(
        self, stage: str, row: Row, model: keras.Model, export: Callable[..., pathlib.Path]
    ) -> Row:
        """Exports a trained model, and checks that the SavedModel answers as it does."""
        folder = self.folder.export / stage
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was cut short
        path = export(folder, metrics=dataclasses.asdict(row))
        ids, _ = next(iter(self.data.validation.batches(1024)))
        expected = tf.sigmoid(model(ids, training=False))[:, 0].numpy()
        served = tf.saved_model.load(str(path)).signatures["ids"](ids=ids)["probability"].numpy()
        if (difference := float(np.abs(expected - served).max())) > _EXPORT_TOLERANCE:
            raise RunError(
                f"{path} does not answer as the trained model does: a probability differs by "
                f"{difference:.2e}. Do not serve it."
            )
        return dataclasses.replace(row, export_bytes=inspect(path)["bytes"]["total"])

    def _row(self, stage: str, init: str, budget: int, model: Any, result: FitResult) -> Row:
        uniform = stage in ("baseline", "uniform")
        nnz = budget if uniform else model.embedding.nnz()
        first_order, tower = _other_parameters(model)
        others = first_order + tower
        return Row(
            stage=stage,
            model=self.config.model,
            granularity=self.config.granularity,
            init=init,
            budget=budget,
            nnz=nnz,
            fraction=nnz / self.entries,
            parameters=nnz + others,
            bytes=stored_bytes(nnz, budget if uniform else self.entries, others),
            validation_auc=result.validation.auc,
            validation_logloss=result.validation.logloss,
            test_auc=result.test.auc,
            test_logloss=result.test.logloss,
            best_epoch=result.best_epoch,
            epochs=result.epochs,
            seconds=result.seconds,
            seed=self.config.seed,
            **facts_of(self.data),
            versions=versions(),
            embedding_dim=model.embedding.output_dim,
            first_order=first_order,
            tower=tower,
        )


def _other_parameters(model: keras.Model) -> tuple[int, int]:
    """Numbers besides the embedding table and its mask: of first-order weights, of the tower."""
    linear = [] if model.first_order is None else model.first_order.weights
    apart = {id(variable) for variable in (*model.embedding.weights, *linear)}
    tower = [v for v in model.weights if id(v) not in apart]
    return _numbers(linear), _numbers(tower)


def _numbers(variables: Iterable[Any]) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)
