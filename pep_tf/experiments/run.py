"""A run from configuration to results: baselines, prune, tickets, SavedModels."""

import contextlib
import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from pep_tf import distributed, training
from pep_tf.data import CTRData
from pep_tf.data.dataset import check_data
from pep_tf.data.feature_counts import count_features
from pep_tf.errors import RunError
from pep_tf.experiments.config import AUTO, PRECISIONS, Config
from pep_tf.experiments.environment import versions
from pep_tf.experiments.feature_counts import save_feature_counts
from pep_tf.experiments.placement import table_device
from pep_tf.experiments.results import Results, Row, stored_bytes
from pep_tf.experiments.run_exports import Exports
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.export.check import check_litert
from pep_tf.layers import SmallEmbedding
from pep_tf.models import CTRModel, build_model
from pep_tf.seeding import seeded
from pep_tf.tables.packed.values import StoredAs, rounds
from pep_tf.tables.small import Scheme
from pep_tf.training import FitResult, Reporter
from pep_tf.training.methods import PEP
from pep_tf.training.prune import facts_of
from pep_tf.training.rounded import fit_as_stored
from pep_tf.training.state import reading_object, save_object
from pep_tf.training.threshold_start import threshold_schedule
from pep_tf.training.weights import whole_model


class Run:
    """One run in its folder.

    Args:
        config: what to compute; also in which precision, whatever Keras's global policy is.
        data: the data set.
        folder: where results go; opened with the configuration.
        reporter: receives the progress.
    """

    def __init__(
        self, config: Config, data: CTRData, folder: RunFolder, reporter: Reporter
    ) -> None:
        check_data(data)
        self.config, self.data, self.folder, self.reporter = config, data, folder, reporter
        self.exports = Exports(config, data, folder, reporter)
        self.threshold_init, rate = self._threshold_schedule()
        self.settings = dataclasses.replace(config.settings(), threshold_learning_rate=rate)
        self.entries = config.entries(data.schema.num_features)
        self.table_device = table_device(config, data.schema.num_features)
        config.resolved_budgets(data.schema)  # refuses before hours of training, not after them
        self.schemes = config.schemes(data.schema)
        if "litert" in config.formats():
            check_litert()  # before hours of training, not after them

    def __call__(self) -> Results:
        """Does what is not done yet and returns all rows."""
        self._count_features()
        rows = [self._stage("baseline", self._uniform, self.config.embedding_dim)]
        for dim in self.config.baseline_dims:
            rows.append(self._stage(f"uniform_{dim}", self._uniform, dim))
        results = Results(rows + self.smaller())
        results.save(self.folder.path)
        if not any(row.capped for row in results.rows):
            self._remove(self.folder.work)
        return results

    def smaller(self) -> list[Row]:
        """Does what is not done yet of the method's smaller tables alone; returns their rows."""
        if self.config.method in training.METHODS:
            return [
                self._stage(f"ticket_{ticket.budget}", self._retrain, ticket)
                for ticket in self._tickets()
            ]
        return [
            self._stage(f"{scheme.name}_{scheme.numbers}", self._small, scheme)
            for scheme in self.schemes
        ]

    def model(self, pruning: str, dim: int | None = None) -> CTRModel:
        """A fresh model; the same seed gives the same weights whatever the pruning."""
        config = self.config
        thresholds: dict[str, Any] = {
            # One for the whole table where a method has no use for it.
            "granularity": config.granularity if config.method == PEP else "global",
            "threshold_init": self.threshold_init,
        }
        return build_model(
            config.model,
            self.data.schema.size_by_name,
            embedding_dim=dim or config.embedding_dim,
            pruning=pruning,
            **(thresholds if pruning == "threshold" else {}),
            prune_linear=config.prune_linear,
            seed=config.seed,
            table_device=self.table_device,
            dtype=PRECISIONS[config.precision],
            **config.model_options(),
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
        if distributed.agreed(self.folder.has_row(name)):
            row = self.folder.row(name)
            if not (row.capped and row.epochs < self.settings.epochs):
                self.exports.restore(name, row, *arguments)
                return row  # else it goes on from its checkpoint
        row = work(name, *arguments)
        self.folder.finish(name, row)
        return row

    def _count_features(self) -> None:
        path = self.folder.path / "feature_counts.safetensors"
        if distributed.is_leader() and not path.exists():
            save_feature_counts(path, self.data.schema, count_features(self.data))

    def _uniform(self, stage: str, dim: int) -> Row:
        """Trains an unpruned table of one width.

        The full table, with which others are compared, is not rounded while it is trained.
        """
        dtype = self.config.stored_as(rounded=dim != self.config.embedding_dim)
        with distributed.whole_tables() if rounds(dtype) else contextlib.nullcontext():
            model = self.model("none", dim)
        model, result = self._fit(stage, model, dtype)
        model = whole_model(model)
        kind = "baseline" if dim == self.config.embedding_dim else "uniform"
        entries = self.config.entries(self.data.schema.num_features, dim)
        row = self._row(kind, "original", entries, model, result)
        return self.exports.write(stage, row, self.exports.of_model(model), dtype)

    def _small(self, stage: str, scheme: Scheme) -> Row:
        """Trains small tables in place of the embedding table."""
        schema, config = self.data.schema, self.config
        # Their weights depend on the seed alone, as those of the model.
        with seeded(config.seed):
            embedding = SmallEmbedding(
                schema.num_features,
                scheme.dim,
                scheme.name,
                scheme.size,
                field_sizes=schema.sizes,
                name="embedding",
                dtype=PRECISIONS[config.precision],
            )
            embedding.build()
        if scheme.by_counts:
            embedding.begin(count_features(self.data))
        model = build_model(
            config.model,
            schema.size_by_name,
            embedding=embedding,
            seed=config.seed,
            table_device=self.table_device,
            dtype=PRECISIONS[config.precision],
            **config.model_options(),
        )
        model, result = self._fit(stage, model)
        row = self._row("small", "original", scheme.numbers, model, result)
        return self.exports.write(stage, row, self.exports.of_model(model))

    def _fit(
        self, stage: str, model: CTRModel, dtype: StoredAs = "float32"
    ) -> tuple[CTRModel, FitResult]:
        model, result = fit_as_stored(
            model,
            self.data,
            self.settings,
            dtype,
            stage=stage.replace("_", " "),
            checkpoint=self.folder.checkpoint(stage),
            reporter=self.reporter,
        )
        self.folder.note_history(stage, result.history)
        return model, result

    @staticmethod
    def _remove(folder: pathlib.Path) -> None:
        """Removes a folder that is no longer needed."""
        if distributed.is_leader():
            shutil.rmtree(folder, ignore_errors=True)

    def _tickets(self) -> list[training.Ticket]:
        """The tickets, from their files if pruning has finished."""
        done = self.folder.tickets / "done.json"
        if not distributed.agreed(done.exists()):
            work = self.folder.work / "prune"
            method = self.config.method
            result = training.METHODS[method](
                self.model("threshold"),
                self.data,
                self.settings,
                self.config.budgets,
                folder=work,
                reporter=self.reporter,
                dtype=self.config.stored_as(),
            )
            for ticket in result.tickets:
                ticket.save(self._ticket_path(ticket.budget))
            self.folder.note_history("prune" if method == PEP else method, result.history)
            kept = sorted({ticket.budget for ticket in result.tickets}, reverse=True)
            facts = {"budgets": kept, "epochs": result.epochs, "seconds": result.seconds}
            save_object(done, facts)
            self._remove(work)
        distributed.wait()  # the files of tickets are there
        with reading_object(done, "delete it, and the tickets are cut anew") as told:
            budgets = list(map(int, told["budgets"]))
        for path in map(self._ticket_path, budgets):
            if not path.exists():
                raise RunError(f"{path} is missing: delete {done}, and the tickets are cut anew.")
        return [training.Ticket.load(self._ticket_path(budget)) for budget in budgets]

    def _ticket_path(self, budget: int) -> pathlib.Path:
        return self.folder.tickets / f"ticket_{budget}.safetensors"

    def _retrain(self, stage: str, ticket: training.Ticket) -> Row:
        if self.config.no_retrain:
            ticket.retrained, ticket.data = ticket.model("trained"), self.data
            evaluate = training.Evaluator(ticket.retrained)
            validation, test = evaluate(self.data.validation), evaluate(self.data.test)
            ticket.result = FitResult(validation, test, 0, 0, 0.0)
        else:
            ticket.retrain(
                self.data,
                init=self.config.ticket_init,
                settings=self.config.retraining(self.settings),
                checkpoint=self.folder.checkpoint(stage),
                reporter=self.reporter,
            )
        assert ticket.retrained is not None
        assert ticket.result is not None
        kind = "pruned" if self.config.no_retrain else "ticket"
        init = kind if self.config.no_retrain else self.config.ticket_init
        self.folder.note_history(stage, ticket.result.history)
        row = self._row(kind, init, ticket.budget, ticket.retrained, ticket.result)
        self.folder.keep_model(stage, ticket.retrained)
        self.exports.write_keys(stage, row, ticket)
        return self.exports.write(stage, row, ticket.export)

    def _row(self, stage: str, init: str, budget: int, model: Any, result: FitResult) -> Row:
        covered = [model.embedding, model.first_order][: 1 + self.config.prune_linear]
        uniform = stage in ("baseline", "uniform")
        nnz = budget if uniform else sum(table.nnz() for table in covered)
        places = stage in ("ticket", "pruned")  # has to be said where the numbers are
        first_order, tower = other_parameters(model, covered)
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
            bytes=stored_bytes(nnz, self.entries if places else nnz, others),
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
            method=None if uniform else self.config.method,
            capped=result.cut_short,
        )


def other_parameters(model: keras.Model, covered: list[keras.layers.Layer]) -> tuple[int, int]:
    """Numbers besides the tables that the budget covers: of first-order weights, of the tower."""
    linear = model.first_order
    tables = [model.embedding, *([] if linear is None else [linear])]
    apart = {id(variable) for table in tables for variable in table.weights}
    tower = _numbers(v for v in model.weights if id(v) not in apart)
    return 0 if linear is None or linear in covered else _numbers(linear.weights), tower


def _numbers(variables: Iterable[Any]) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)
