"""Kinds of columns whose values are numbers: `integer`, `bins:N` and `float`."""

import functools
import math
from typing import Any, Self

import numpy as np
import tensorflow as tf

from pep_tf.data.columns.categories import Known
from pep_tf.data.columns.encoder import Encoder, Seen
from pep_tf.data.columns.texts import DIGITS, MAX_DIGITS, ZEROS, Texts, plain
from pep_tf.data.remembered import Remembered
from pep_tf.data.schema import FLOAT

INTEGER_WORDS = f"an integer of at most {MAX_DIGITS} digits (5.0 is 5)"
# As Python and JSON write numbers; the parser would also take blanks, +5 and nan.
_NUMBER = r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?"


class LogInteger(Known):
    """Whole numbers v by Criteo's logarithm: int(ln(v)^2) above 2, else v - 2."""

    must_be = INTEGER_WORDS

    @classmethod
    def fit(cls, seen: Seen, argument: Any) -> Self:
        return cls(np.unique(_refused_and_bucket(seen.texts)[:, 1]), seen.field)

    @classmethod
    def refused(cls, texts: tf.Tensor) -> tf.Tensor:
        return ~tf.strings.regex_full_match(texts, f"(?:{DIGITS}(?:{ZEROS})?)?")

    def read(self, texts: tf.Tensor) -> tf.Tensor:
        return log_buckets(texts)

    @classmethod
    def refused_of(cls, texts: Texts) -> np.ndarray:
        return _refused_and_bucket(texts.distinct)[:, 0] > 0

    @staticmethod
    def read_of(texts: Texts) -> np.ndarray:
        return _refused_and_bucket(texts.distinct)[:, 1]

    def encoding(self) -> dict[str, Any]:
        what = "int(ln(v)^2) of a number v > 2, else v - 2"
        return {**super().encoding(), "of": what}

    def state(self) -> list[Any]:
        return [self._values]


def log_buckets(texts: tf.Tensor) -> tf.Tensor:
    """int64, the shape of the texts; of a text that is no such number, that of 0."""
    texts = tf.where(LogInteger.refused(texts) | (texts == b""), b"0", plain(texts))
    return log_bucket(tf.strings.to_number(texts, tf.int64))


def log_bucket(number: tf.Tensor) -> tf.Tensor:
    """int(ln(v)^2) of numbers v > 2 of at most 15 digits, v - 2 of others; int64."""
    steps = tf.searchsorted(tf.constant(log_steps()), tf.reshape(number, [-1]), side="right")
    steps = tf.cast(tf.reshape(steps, tf.shape(number)), tf.int64)
    return tf.where(number > 2, steps, number - 2)


@functools.cache
def log_steps() -> np.ndarray:
    """int64 [steps]: the smallest v > 2 with int(ln(v)^2) >= k, for k = 1, 2, ... up to 15 digits.

    A table of exact integers, because two libraries' logarithms may differ in the last bit.
    """
    steps, k = [3], 2
    while (v := int(math.exp(math.sqrt(k)))) < 10**MAX_DIGITS:
        v = max(v - 2, 3)
        while int(math.log(v) ** 2) < k:
            v += 1
        steps.append(v)
        k += 1
    return np.array(steps, np.int64)


@Remembered
def _refused_and_bucket(texts: tf.Tensor) -> tf.Tensor:
    """int64 [n, 2], of texts: whether they are no whole numbers, and `log_buckets`."""
    return tf.stack([tf.cast(LogInteger.refused(texts), tf.int64), log_buckets(texts)], axis=1)


class _Number(Encoder):
    must_be = "a finite number"
    whole_numbers = False
    by_sample = True

    @classmethod
    def refused(cls, texts: tf.Tensor) -> tf.Tensor:
        wrong = ~tf.strings.regex_full_match(texts, f"(?:{_NUMBER})?")
        return wrong | ~tf.math.is_finite(_numbers(texts))


class Bins(_Number):
    """Numbers by bins that hold equally many training rows, 1 and up; every number has one.

    Args:
        edges: float64 [n], sorted: the largest number of each bin but the last.
    """

    def __init__(self, edges: np.ndarray) -> None:
        super().__init__(name="bins")
        self._edges = edges
        self.size = 2 + len(edges)

    @classmethod
    def fit(cls, seen: Seen, argument: Any) -> Self:
        values = _numbers(tf.constant(seen.texts, tf.string)).numpy()
        order = np.argsort(values, kind="stable")
        values, rows = values[order], np.cumsum(seen.counts[order])
        last = (
            np.searchsorted(rows, rows[-1] * np.arange(1, argument) / argument) if len(rows) else []
        )
        edges = np.unique(values[last])
        return cls(edges[edges < values.max(initial=-np.inf)])

    def encode(self, texts: tf.Tensor) -> tf.Tensor:
        return 1 + tf.searchsorted(tf.constant(self._edges), _numbers(texts), side="left")

    def encoding(self) -> dict[str, Any]:
        function = "1 + the number of edges below the value"
        return {"name": "bins", "function": function, "edges": self._edges.tolist(), "missing": 0}

    def state(self) -> list[Any]:
        return [self._edges]


class Float(_Number):
    """Numbers less the mean of the training rows, over their standard deviation, as bits of a float32.

    A number outside the range of the training rows counts as the end of the range; a missing one is 0,
    as the mean, and adds nothing.

    Args:
        low, high: the range of the training rows.
        scale: a power of two by which all is divided first, so that no sum overflows.
        mean, deviation: of the training rows, after that.
    """

    size, combiner = 1, FLOAT

    def __init__(
        self, low: float, high: float, scale: float, mean: float, deviation: float
    ) -> None:
        super().__init__(name="float")
        self._range, self._standard = (low, high), (scale, mean, deviation)

    @classmethod
    def fit(cls, seen: Seen, argument: Any) -> Self:
        values = _numbers(tf.constant(seen.texts, tf.string)).numpy()
        low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
        scale = float(np.ldexp(1.0, max(-1022, np.frexp(max(abs(low), abs(high)))[1] - 1)))
        scaled = values / scale
        mean = np.average(scaled, weights=seen.counts)
        deviation = np.sqrt(np.average((scaled - mean) ** 2, weights=seen.counts))
        return cls(float(low), float(high), scale, float(mean), float(deviation) or 1.0)

    def encode(self, texts: tf.Tensor) -> tf.Tensor:
        scale, mean, deviation = self._standard
        values = tf.clip_by_value(_numbers(texts), *self._range) / scale
        values = tf.cast((values - mean) / deviation, tf.float32)
        values = tf.where(tf.abs(values) < np.finfo(np.float32).tiny, 0.0, values)
        return tf.bitcast(values, tf.int32)

    def encoding(self) -> dict[str, Any]:
        what = ("low", "high", "scale", "mean", "deviation")
        return {
            "name": "float",
            "function": "id 0 counts times (clip(v, low, high) / scale - mean) / deviation; missing: times 0",
            **dict(zip(what, (*self._range, *self._standard), strict=True)),
        }

    def state(self) -> list[Any]:
        return [*self._range, *self._standard]


def _numbers(texts: tf.Tensor) -> tf.Tensor:
    """float64 [B]; of a text that is no number, 0."""
    good = tf.strings.regex_full_match(texts, _NUMBER)
    return tf.strings.to_number(tf.where(good, texts, b"0"), tf.float64)
