"""Ways to make a table of few numbers that every feature has a row of, by name.

A way is one file, whose `Scheme` says which tables there are and how a row is made of theirs, and one
line; `SmallEmbedding` trains it and `SmallTable` serves it.
"""

from pep_tf.tables.small.hashed import Hashed as Hashed
from pep_tf.tables.small.mixed_widths import MixedWidths as MixedWidths
from pep_tf.tables.small.multi_granular import MultiGranular as MultiGranular
from pep_tf.tables.small.quotient_remainder import QuotientRemainder as QuotientRemainder
from pep_tf.tables.small.scheme import Scheme as Scheme

SCHEMES: dict[str, type[Scheme]] = {
    "hash": Hashed,
    "qr": QuotientRemainder,
    "mde": MixedWidths,
    "mgqe": MultiGranular,
}
