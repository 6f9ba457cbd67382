"""What a finished search is worth, measured by retraining: `python -m experiments.tuning_report --help`.

`rank`: Spearman's rank correlation of a trial's score with the same score of its retrained tickets, over trials spread
evenly from the worst to the best. `compare`: paired differences, best minus default, on fresh seeds (split, weights and
order are new), of the tickets and, to tell what comes from a better model and not from thresholds, of the uniform
tables; where no trial scored above the default, the best of the others is taken. What was trained is kept in
`<search>/report/` and `<search>/retrained/`: a killed report goes on where it was.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats

from pep_tf.command_line import Command
from pep_tf.data import CTRData
from pep_tf.device import settle_arithmetic
from pep_tf.errors import PepError
from pep_tf.experiments.config import Config, make_config
from pep_tf.experiments.load_data import load_for_seed
from pep_tf.experiments.results import Results
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.training import Silent
from pep_tf.training.state import save_text
from pep_tf.tuning import Objective, Search
from pep_tf.tuning.record import highest
from pep_tf.tuning.retrain import retrain

_LEAST = 3  # trials that a rank correlation takes
_METRICS = ("validation_auc", "test_auc")


class Report:
    """A finished search, with the means to retrain its trials.

    Args:
        folder: of the search.
        data_dir: as it was given to the search.
    """

    def __init__(self, folder: pathlib.Path, data_dir: pathlib.Path | None) -> None:
        self.folder, self.data_dir = folder, data_dir
        self.search = Search.load(folder)
        stored = json.loads((folder / "config.json").read_text("utf-8"))
        names = {field.name for field in dataclasses.fields(Config)}
        self.base = {name: value for name, value in stored.items() if name in names}

    def rows(self, trial_id: str, seed: int) -> list[dict[str, Any]]:
        """The rows of a trial's configuration, pruned and retrained with a seed."""
        data = self._data(seed)
        config = self._config(trial_id, data, seed)
        folder = RunFolder(self.folder / "report" / f"trial_{trial_id}_seed_{seed}")
        folder.open(dataclasses.asdict(config), data, resume=folder.begun)
        path = folder.path / "results.json"
        if not path.exists():
            Run(config, data, folder, Silent())()
        return [dataclasses.asdict(row) for row in Results.load(folder.path).rows]

    def _config(self, trial_id: str, data: CTRData, seed: int) -> Config:
        changes = {
            **self.base,
            **self.search.trial(trial_id).values,
            "budgets": [str(budget) for budget in self.search.budgets],
            "seed": seed,
            "no_retrain": False,
            "export_format": "none",
            "export_dtype": Config.export_dtype,
        }
        config = make_config(data.name, data.train.num_rows, changes)
        entries = config.entries(data.schema.num_features)
        counts = [str(min(budget, entries)) for budget in self.search.budgets]
        return dataclasses.replace(config, budgets=tuple(counts))

    def _data(self, seed: int) -> CTRData:
        return load_for_seed(
            self.search.dataset,
            data_dir=self.data_dir,
            features=self.base["features"],
            seed=seed,
        )

    def rank(self, count: int) -> dict[str, Any]:
        """Score and retrained score of `count` trials, and their rank correlation."""
        ended = sorted((t for t in self.search.trials if t.whole), key=lambda t: t.score)
        if len(ended) < _LEAST:
            raise PepError(f"A rank correlation needs {_LEAST} trials of a whole pruning at least.")
        places = np.unique(np.linspace(0, len(ended) - 1, count).round().astype(int))
        seed = self.base["seed"]
        data = self._data(seed)
        table = data.schema.num_features * self.base["embedding_dim"]
        objective = Objective.parse(self.search.objective, self.search.budgets, table)
        found = []
        for trial in (ended[place] for place in places):
            config, curve = self._config(trial.id, data, seed), []
            for point in trial.curve:
                ticket = retrain(trial.id, point.nnz, config, data, self.folder, Silent())
                auc = ticket["validation_auc"]
                curve.append(dataclasses.replace(point, validation_auc=auc))
            found.append(
                {"trial": trial.id, "score": trial.score, "retrained": objective.score(curve)}
            )
            print(json.dumps(found[-1]), flush=True)
        scores, retrained = ([f[name] for f in found] for name in ("score", "retrained"))
        correlation = scipy.stats.spearmanr(scores, retrained)
        return {
            "trials": found,
            "spearman": float(correlation.statistic),
            "p_value": float(correlation.pvalue),
        }

    def compare(self, seeds: Sequence[int]) -> dict[str, Any]:
        """Best minus default, retrained, at each budget and seed; mean and spread over both."""
        first, *others = self.search.trials
        ended = [trial for trial in others if trial.whole]
        if not ended:
            raise PepError("A comparison needs a trial of a whole pruning besides the default.")
        default, best = first.id, highest(ended).id
        pairs = [
            _pair(seed, one, other)
            for seed in seeds
            for one, other in zip(self.rows(default, seed), self.rows(best, seed), strict=True)
        ]
        uniform = [pair for pair in pairs if pair["stage"] == "baseline"]
        tickets = [pair for pair in pairs if pair["stage"] != "baseline"]
        budgets = sorted({pair["budget"] for pair in tickets}, reverse=True)
        return {
            "default": default,
            "best": best,
            "scores": {id_: self.search.trial(id_).score for id_ in (default, best)},
            "values": {id_: self.search.trial(id_).values for id_ in (default, best)},
            "mean_over_budgets": _summary(tickets),
            "by_budget": {b: _summary([p for p in tickets if p["budget"] == b]) for b in budgets},
            "uniform": _summary(uniform),
            "pairs": pairs,
        }


def _pair(seed: int, default: dict[str, Any], searched: dict[str, Any]) -> dict[str, Any]:
    """The same table of both configurations, trained with the same seed."""
    pair = {"seed": seed, "stage": default["stage"], "budget": default["budget"]}
    for name in _METRICS:
        pair |= {f"default_{name}": default[name], f"best_{name}": searched[name]}
    return pair


def _summary(pairs: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Best minus default: mean, and standard deviation over the seeds of the mean of a seed."""
    seeds = sorted({pair["seed"] for pair in pairs})
    summary = {}
    for name in _METRICS:
        by_seed = [
            np.mean([p[f"best_{name}"] - p[f"default_{name}"] for p in pairs if p["seed"] == seed])
            for seed in seeds
        ]
        spread = float(np.std(by_seed, ddof=1)) if len(seeds) > 1 else None
        summary[name] = {"mean_difference": float(np.mean(by_seed)), "spread_over_seeds": spread}
    return summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    command = Command("experiments.tuning_report", __doc__, arguments="rank|compare")
    command.path("search", None, "folder of the search", required=True)
    command.path("data_dir", None, "as it was given to the search")
    command.whole("trials", 8, "rank: how many trials", least=1)
    command.wholes("seeds", (1, 2, 3), "compare: fresh seeds", least=0)
    command.path("out", None, "file to write the report to as well")
    return command.run(lambda what: _run(command, what), arguments)


def _run(command: Command, what: list[str]) -> None:
    """Prints the report as JSON."""
    asked = command.values
    if what not in (["rank"], ["compare"]):
        raise PepError(f"Say what to do, rank or compare. Received: {what}")
    for name, only in (("trials", "rank"), ("seeds", "compare")):
        if name in command.given() and [only] != what:
            raise PepError(f"`{name}` has no effect on {what[0]}: it is for {only}.")
    settle_arithmetic()
    report = Report(asked.search, asked.data_dir)
    found = report.rank(asked.trials) if what == ["rank"] else report.compare(asked.seeds)
    text = json.dumps(found, indent=2)
    print(text)
    if asked.out:
        save_text(asked.out, text + "\n")


if __name__ == "__main__":
    sys.exit(main())
