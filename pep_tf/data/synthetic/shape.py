"""Shapes of the synthetic data sets: columns, vocabulary sizes, the Zipf law of each column."""

import bisect
import dataclasses
import functools

import numpy as np

from pep_tf.data.schema import FeatureSchema
from pep_tf.errors import DataError
from pep_tf.numbers import INT32_MAX, whole

MIN_FIELD_SIZE = 2


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a shape.

    Attributes:
        name: column name as in the original data set.
        vocabulary: features of the column in the original data set once rare values are merged.
            These are the proportions that `Shape.schema` scales to the `num_features` asked for.
        exponent: Zipf exponent `a` of the column, never exactly 1; see `ZipfFields`.
        kind: how raw text spells the column: "integer", "hex", "decimal" or "hour".
    """

    name: str
    vocabulary: int
    exponent: float
    kind: str


@dataclasses.dataclass(frozen=True)
class Shape:
    """The columns of a data set, from which a schema of any size can be made."""

    name: str
    columns: tuple[Column, ...]

    def schema(self, num_features: int) -> FeatureSchema:
        """Scales the vocabularies to `num_features` ids in total.

        Column f gets `max(2, round(vocabulary_f ** p))` ids, with the one power p for which they
        sum to `num_features`; the largest column takes the remainder of rounding. p is 1 at the
        original total (1,086,810 for Criteo, 2,018,012 for Avazu), so a larger N mostly widens the
        wide columns and the small ones stay small, as they do when rare values are kept or merged.

        Raises:
            DataError: `num_features` below 2 per column, or above 2**31 - 1.
        """
        lowest = MIN_FIELD_SIZE * len(self.columns)
        num_features = whole("num_features", num_features, most=10**18)
        if not lowest <= num_features <= INT32_MAX:
            raise DataError(
                f"`num_features` must be between {lowest:,} ({MIN_FIELD_SIZE} for each of the "
                f"{len(self.columns)} fields of {self.name!r}) and {INT32_MAX:,}. "
                f"Received: num_features={num_features}"
            )
        sizes = self._sizes(num_features)
        return FeatureSchema.of(
            {column.name: size for column, size in zip(self.columns, sizes, strict=True)}
        )

    def _sizes(self, num_features: int) -> list[int]:
        vocabulary = np.array([column.vocabulary for column in self.columns], np.float64)

        def scaled(power: float) -> np.ndarray:
            return np.maximum(MIN_FIELD_SIZE, np.rint(vocabulary**power)).astype(np.int64)

        low, high = 0.0, 4.0  # sizes only grow with the power; 4 is beyond INT32_MAX
        for _ in range(80):
            middle = (low + high) / 2
            if scaled(middle).sum() <= num_features:
                low = middle
            else:
                high = middle
        sizes = scaled(low)
        sizes[sizes.argmax()] += num_features - sizes.sum()
        return sizes.tolist()


class ZipfFields:
    """Independent columns, each a bounded power law.

    A column of n ids and exponent a draws `X` from the density proportional to `x**-a` on [1, n +
    1) and takes the id `floor(X) - 1`. With `H(x) = x**(1 - a)` the exact law is

        P(id = k) = (H(k + 2) - H(k + 1)) / (H(n + 1) - 1),    k = 0 ... n - 1,

    which falls as `(k + 1)**-a` for large k. Ids are therefore in order of frequency, 0 the most
    frequent. The inverse of the distribution function is closed, `X = (1 + u (H(n + 1) -
    1))**(1/(1-a))` for uniform u, so that a draw costs one logarithm and one exponential in float64
    and no memory, whatever n.

    Args:
        shape: the columns.
        schema: their sizes, from `shape.schema`.
    """

    def __init__(self, shape: Shape, schema: FeatureSchema) -> None:
        self.schema = schema
        size = np.array(schema.sizes, np.float64)
        self._power = 1 - np.array([column.exponent for column in shape.columns], np.float64)
        self._span = (size + 1) ** self._power - 1
        self._last = np.array(schema.sizes, np.int32) - 1

    def probability(self, field: np.ndarray | int, ids: np.ndarray | int) -> np.ndarray:
        """P(id) of ids of a field (index, one for all or one each), float64, as many as `ids`."""
        x, power = np.asarray(ids, np.float64) + 1, self._power[field]
        # H(x + 1) - H(x) without the cancellation of two large numbers.
        step = x**power * np.expm1(power * np.log1p(1 / x))
        return step / self._span[field]

    def count_above(self, field: int, probability: float) -> int:
        """How many ids of a field (index) have at least this probability; they come first."""
        return bisect.bisect_right(
            range(self.schema.sizes[field]),
            -probability,
            key=lambda k: -float(self.probability(field, k)),
        )

    def sample(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """Draws ids, int32 [F, rows] (field-major: the columns are what is computed on)."""
        x = rng.random((len(self._last), rows))
        x *= self._span[:, None]
        x += 1
        np.log(x, out=x)
        x /= self._power[:, None]
        np.exp(x, out=x)
        ids = x.astype(np.int32)
        ids -= 1
        return np.minimum(ids, self._last[:, None], out=ids)  # u next to 1 may round up to n + 1


def get_shape(name: str) -> Shape:
    """The shape of that name: "criteo" (39 columns) or "avazu" (22 columns).

    Raises:
        DataError: another name.
    """
    if name not in _shapes():
        raise DataError(f"`shape` must be one of {sorted(_shapes())}. Received: shape={name!r}")
    return _shapes()[name]


@functools.cache
def _shapes() -> dict[str, Shape]:
    return {
        name: Shape(
            name,
            tuple(
                Column(column, int(vocabulary), float(exponent), kind)
                for column, vocabulary, exponent, kind in map(str.split, table.strip().splitlines())
            ),
        )
        for name, table in {"criteo": _CRITEO, "avazu": _AVAZU}.items()
    }


# name, vocabulary, Zipf exponent, kind.
#
# Vocabularies: the field sizes in common use for these sets in published CTR code, integers as
# int(ln(v)**2). Criteo: values seen at least 10 times, 1,086,810 in all; Avazu: 2,018,012.
#
# Exponents: fitted to public samples of the two sets (18,787 and 24,073 rows) at N = 2,000,000 for
# Criteo and N = 2,018,012 for Avazu: columns below 1,000 values by the share of their most frequent
# value, larger ones by the mean number of different values in 1,024 rows in a row. Criteo's large
# columns are then flattened by 0.04 together, so that 1,024 rows hold 10,187 different features on
# average.
_CRITEO = """
I1  49     1.81 integer
I2  101    1.11 integer
I3  126    1.22 integer
I4  45     1.15 integer
I5  223    0.62 integer
I6  118    1.30 integer
I7  84     1.25 integer
I8  76     0.87 integer
I9  95     0.55 integer
I10 9      1.60 integer
I11 30     1.45 integer
I12 40     3.12 integer
I13 75     1.21 integer
C1  1458   1.95 hex
C2  555    1.05 hex
C3  193949 0.93 hex
C4  138801 1.01 hex
C5  306    2.60 hex
C6  19     1.68 hex
C7  11970  0.85 hex
C8  634    2.29 hex
C9  4      4.14 hex
C10 42646  1.01 hex
C11 5178   0.91 hex
C12 192773 0.95 hex
C13 3175   0.92 hex
C14 27     1.49 hex
C15 11422  0.99 hex
C16 181075 0.97 hex
C17 11     1.65 hex
C18 4654   1.11 hex
C19 2032   1.53 hex
C20 5      1.28 hex
C21 189657 0.96 hex
C22 18     3.25 hex
C23 16     1.69 hex
C24 59697  1.10 hex
C25 86     1.83 hex
C26 45571  1.21 hex
"""

_AVAZU = """
hour             241     0.84 hour
C1               8       4.57 decimal
banner_pos       8       2.74 decimal
site_id          3697    1.49 hex
site_domain      4614    1.57 hex
site_category    25      1.61 hex
app_id           5481    1.65 hex
app_domain       329     2.67 hex
app_category     31      2.54 hex
device_id        381763  1.46 hex
device_ip        1611748 0.78 hex
device_model     6793    1.15 hex
device_type      6       4.63 decimal
device_conn_type 5       3.89 decimal
C14              2509    1.16 decimal
C15              9       4.92 decimal
C16              10      5.16 decimal
C17              432     0.98 decimal
C18              5       1.11 decimal
C19              68      1.40 decimal
C20              169     1.90 decimal
C21              61      1.18 decimal
"""
