"""A search folder: its trials, its Pareto front, and which hyper-parameters mattered."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from pep_tf.errors import RunError
from pep_tf.experiments.report.reading import read_json, read_object
from pep_tf.experiments.report.text import clean
from pep_tf.numbers import is_number

SEARCH = "search.json"
STUDY = "best.py"  # the best configuration, for `--config`
_FEWEST_TRIALS = 10  # for an importance; with fewer a forest has nothing to learn from
_FOLDS, _TREES, _REPEATS = 5, 60, 5


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trial; `curve` holds a point a budget.

    `share` of the pruning was asked for (below 1 on the lower rungs of Hyperband); `stopped`: it was
    given up half way.
    """

    id: str
    status: str
    score: float | None
    values: Mapping[str, Any]
    curve: tuple[Mapping[str, float], ...]
    seconds: float | None
    share: float = 1.0
    stopped: bool = False

    @property
    def complete(self) -> bool:
        return self.status == "COMPLETED" and self.score is not None

    @property
    def whole(self) -> bool:
        """Whether it was scored at the end of a whole pruning."""
        return self.complete and self.share == 1 and not self.stopped


@dataclasses.dataclass(frozen=True)
class Search:
    """`search.json`, checked, with `config.json` and `environment.json` beside it."""

    path: pathlib.Path
    algorithm: str
    objective: str
    maximize: bool
    dataset: str
    budgets: tuple[int, ...]
    space: Mapping[str, Mapping[str, Any]]
    trials: tuple[Trial, ...]
    pareto: tuple[Mapping[str, Any], ...]
    best: str
    split_md5: Mapping[str, str] = dataclasses.field(default_factory=dict)
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    environment: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def inputs(self) -> list[str]:
        """What of the folder the page is drawn from: files, trials, and which tickets were retrained."""
        files: dict[str, Any] = {"config.json": self.config, "environment.json": self.environment}
        files[STUDY] = (self.path / STUDY).exists()
        tested = [p for p in self.pareto if is_number(p.get("test_auc"))]
        return [
            *(name for name, found in files.items() if found),
            *(f"trial {trial.id}" for trial in self.trials),
            *(f"test AUC of trial {p.get('trial')} at {p['budget']}" for p in tested),
        ]


@dataclasses.dataclass(frozen=True)
class Importance:
    """Which hyper-parameters the score depends on.

    Attributes:
        names: most important first.
        drop, spread: by how much the forest's R2 on held-out trials falls when a column is shuffled:
            mean and standard deviation over folds and shuffles.
        rho: Spearman's rank correlation with the score; None for what is not a number or constant.
        r2: R2 of the forest on held-out trials. At 0 or below the order says nothing.
    """

    names: tuple[str, ...]
    drop: tuple[float, ...]
    spread: tuple[float, ...]
    rho: tuple[float | None, ...]
    r2: float


def read_search(folder: pathlib.Path) -> Search:
    """Reads `search.json` and what is beside it.

    Raises:
        RunError: a file that is damaged or not a search.
    """
    path = folder / SEARCH
    found = read_json(path)
    if not isinstance(found, dict) or found.get("kind") != "search":
        raise RunError(f"{path} is damaged or of another version: it must have kind 'search'.")
    notes: list[str] = []
    trials = tuple(t for t in map(_trial, _list(found, "trials")) if t is not None)
    if not trials:
        notes.append("The search has no trial yet.")
    elif failed := [t for t in trials if not t.complete]:
        notes.append(
            f"{len(failed)} of {len(trials)} trials did not complete; they are in the table only."
        )
    if part := sum(t.complete and not t.whole for t in trials):
        notes.append(
            f"{part} of {len(trials)} trials ended before a whole pruning, and have the score that "
            "they had there: hollow points."
        )
    return Search(
        path=folder,
        algorithm=clean(found.get("algorithm", "unknown")),
        objective=clean(found.get("objective", "unknown")),
        maximize=found.get("direction", "max") != "min",
        dataset=clean(found.get("dataset", "unknown")),
        budgets=tuple(int(b) for b in _list(found, "budgets") if is_number(b)),
        space={clean(k): v for k, v in _mapping(found, "space").items() if isinstance(v, dict)},
        trials=trials,
        pareto=tuple(p for p in _list(found, "pareto") if _point(p)),
        best=clean(found.get("best", "")),
        split_md5={clean(k): clean(v) for k, v in _mapping(found, "split_md5").items()},
        config=read_object(folder / "config.json", notes),
        environment=read_object(folder / "environment.json", notes),
        notes=notes,
    )


def importance(search: Search) -> Importance | None:
    """Permutation importance of a random forest, on trials that it was not fitted to.

    A forest is fitted to four fifths of the trials and judged on the rest, five times over. None with
    fewer than ten completed trials, or where all scored the same.
    """
    trials = [t for t in search.trials if t.complete]
    scores = np.array([t.score for t in trials], float)
    names = sorted({name for t in trials for name in t.values})
    if len(trials) < _FEWEST_TRIALS or not names or np.ptp(scores) == 0:
        return None
    columns = np.column_stack([_numbers([t.values.get(n) for t in trials]) for n in names])
    drops, told = [], np.empty_like(scores)
    for fitted, held in KFold(_FOLDS, shuffle=True, random_state=0).split(columns):
        forest = RandomForestRegressor(_TREES, random_state=0).fit(columns[fitted], scores[fitted])
        told[held] = forest.predict(columns[held])
        shuffled = permutation_importance(
            forest, columns[held], scores[held], n_repeats=_REPEATS, random_state=0, scoring=_error
        )
        drops.append(shuffled.importances)
    # From squared errors to R2: both in units of the variance of all scores.
    fall = np.concatenate(drops, axis=1) / scores.var()
    order = np.argsort(-fall.mean(axis=1), kind="stable")
    return Importance(
        names=tuple(names[i] for i in order),
        drop=tuple(float(fall[i].mean()) for i in order),
        spread=tuple(float(fall[i].std()) for i in order),
        rho=tuple(_rho([t.values.get(names[i]) for t in trials], scores) for i in order),
        r2=float(r2_score(scores, told)),
    )


def _error(forest: Any, columns: np.ndarray, scores: np.ndarray) -> float:
    """Negative mean squared error: greater is better, as scikit-learn wants it."""
    return -float(np.mean((forest.predict(columns) - scores) ** 2))


def _rho(values: Sequence[Any], scores: np.ndarray) -> float | None:
    if not all(is_number(v) for v in values) or len(set(values)) < 2:
        return None
    return float(spearmanr(values, scores).statistic)


def _numbers(values: Sequence[Any]) -> np.ndarray:
    """Numbers as they are; anything else by its place among the sorted choices."""
    if all(is_number(v) for v in values):
        return np.array(values, float)
    choices = sorted({str(v) for v in values})
    return np.array([choices.index(str(v)) for v in values], float)


def _trial(found: Any) -> Trial | None:
    if not isinstance(found, dict):
        return None
    score, seconds, share = (found.get(name) for name in ("score", "seconds", "share"))
    return Trial(
        id=clean(found.get("id", "")),
        status=clean(found.get("status", "UNKNOWN")),
        score=float(score) if is_number(score) else None,
        values={clean(k): _plain(v) for k, v in _mapping(found, "values").items()},
        curve=tuple(p for p in _list(found, "curve") if _point(p)),
        seconds=float(seconds) if is_number(seconds) else None,
        share=float(share) if is_number(share) else 1.0,
        stopped=found.get("stopped") is True,
    )


def _plain(value: Any) -> Any:
    return value if is_number(value) else clean(value)


def _point(found: Any) -> bool:
    return isinstance(found, dict) and all(
        is_number(found.get(name)) for name in ("parameters", "validation_auc", "budget")
    )


def _mapping(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found.get(name)
    return value if isinstance(value, list) else []
