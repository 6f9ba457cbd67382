"""A search folder, read for its page, and which hyper-parameters mattered."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from pep_tf.errors import RunError
from pep_tf.experiments.report.reading import Record, read_json
from pep_tf.experiments.search_record import SEARCH, STUDY, Search
from pep_tf.experiments.text import clean
from pep_tf.numbers import is_number

_FEWEST_TRIALS = 10  # for an importance; with fewer a forest has nothing to learn from
_FOLDS, _TREES, _REPEATS = 5, 60, 5


@dataclasses.dataclass(kw_only=True)
class SearchRecord(Record):
    """A search as its page needs it; it has no rows."""

    search: Search


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


def read_search(folder: pathlib.Path) -> SearchRecord:
    """Reads `search.json` and what is beside it.

    Raises:
        RunError: a file that is damaged or not a search.
    """
    left_out: list[str] = []
    try:
        search = Search.read(_clean(read_json(folder / SEARCH)), left_out)
    except ValueError as error:
        raise RunError(f"{folder / SEARCH} is damaged or of another version: {error}") from error
    record = SearchRecord(folder, [], search=search)
    trials, notes = search.trials, record.notes
    if left_out:
        notes.append(f"{len(left_out)} trials or points of the front cannot be read: {left_out[0]}")
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
    record.read_origin()
    tested = (
        f"test AUC of trial {point.trial} at {point.budget}"
        for point in search.pareto
        if point.test_auc is not None
    )
    there = (folder / STUDY).exists()
    record.note_inputs(STUDY, there, *(f"trial {trial.id}" for trial in trials), *tested)
    return record


def _clean(found: Any) -> Any:
    """The same JSON value, with text that can be written to any file."""
    if isinstance(found, dict):
        return {clean(key): _clean(value) for key, value in found.items()}
    if isinstance(found, list):
        return [_clean(value) for value in found]
    return clean(found) if isinstance(found, str) else found


def importance(record: SearchRecord) -> Importance | None:
    """Permutation importance of a random forest, on trials that it was not fitted to.

    A forest is fitted to four fifths of the trials and judged on the rest, five times over. None with
    fewer than ten completed trials, or where all scored the same.
    """
    trials = [t for t in record.search.trials if t.complete]
    scores = np.array([t.score for t in trials], float)
    values = pd.DataFrame([t.values for t in trials], dtype=object).sort_index(axis=1)
    if len(trials) < _FEWEST_TRIALS or values.empty or np.ptp(scores) == 0:
        return None
    columns = values.apply(_numbers).to_numpy(float)
    drops, predicted = [], np.empty_like(scores)
    for fitted, held in KFold(_FOLDS, shuffle=True, random_state=0).split(columns):
        forest = RandomForestRegressor(_TREES, random_state=0).fit(columns[fitted], scores[fitted])
        predicted[held] = forest.predict(columns[held])
        options = {"n_repeats": _REPEATS, "random_state": 0, "scoring": "neg_mean_squared_error"}
        shuffled = permutation_importance(forest, columns[held], scores[held], **options)
        drops.append(shuffled.importances)
    # From squared errors to R2: both in units of the variance of all scores.
    fall = np.concatenate(drops, axis=1) / scores.var()
    order = np.argsort(-fall.mean(axis=1), kind="stable")
    return Importance(
        names=tuple(values.columns[order]),
        drop=tuple(fall[order].mean(axis=1).tolist()),
        spread=tuple(fall[order].std(axis=1).tolist()),
        rho=tuple(_rho(values.iloc[:, i], scores) for i in order),
        r2=float(r2_score(scores, predicted)),
    )


def _rho(values: pd.Series, scores: np.ndarray) -> float | None:
    if not all(map(is_number, values)) or values.nunique() < 2:
        return None
    return float(spearmanr(values.astype(float), scores).statistic)


def _numbers(values: pd.Series) -> Any:
    """Numbers as they are; anything else by its place among the sorted choices."""
    return values if all(map(is_number, values)) else pd.factorize(values.map(str), sort=True)[0]
