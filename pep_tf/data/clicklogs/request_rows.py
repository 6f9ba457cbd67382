"""The rows of a request as the lines of a file: refused where a file's would be, and read alike."""

import re

import tensorflow as tf

from pep_tf.data.clicklogs.column_rules import rule_of
from pep_tf.data.clicklogs.formats import Format
from pep_tf.data.clicklogs.tokens import MAX_TOKEN_BYTES
from pep_tf.data.raw import RawColumn, refuse


class RequestRows:
    """Reads raw columns inside a graph.

    Args:
        fmt: the format of the file.
        columns: those that a request has.
    """

    def __init__(self, fmt: Format, columns: tuple[str, ...]) -> None:
        self._rules = {name: rule_of(fmt, name) for name in columns}
        self._delimiter = fmt.delimiter.decode()
        self._plain = re.escape(self._delimiter).join(r.plain for r in self._rules.values())

    @property
    def columns(self) -> dict[str, RawColumn]:
        return {name: rule.column for name, rule in self._rules.items()}

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """Tokens as training reads them of values, both string [B, C]; fails as `refuse` says."""
        # Joined as in a file, a row is one text: a single expression tells that nothing is unusual.
        lines = tf.strings.reduce_join(rows, axis=1, separator=self._delimiter)
        plain = tf.reduce_all(tf.strings.regex_full_match(lines, self._plain))
        short = tf.reduce_all(tf.strings.length(rows) <= MAX_TOKEN_BYTES)
        return tf.cond(plain & short, lambda: rows, lambda: self._read_each(rows))

    def _read_each(self, rows: tf.Tensor) -> tf.Tensor:
        """The same, column by column."""
        values = tf.unstack(rows, num=len(self._rules), axis=1)
        pairs = list(zip(self._rules.values(), values, strict=True))
        checked = refuse(self.columns, values, [rule.refused(v) for rule, v in pairs])
        with tf.control_dependencies([checked]):
            return tf.stack([rule.read(v) for rule, v in pairs], axis=1)
