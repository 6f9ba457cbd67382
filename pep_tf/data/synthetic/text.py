"""Synthetic rows as raw text in the form of the original files, and how each id is spelled."""

import functools
import math
import os
import re
import zlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from pep_tf.data.prefetch import prefetch
from pep_tf.data.synthetic.row_source import BLOCK_ROWS, RowSource
from pep_tf.data.synthetic.shape import Column, get_shape
from pep_tf.errors import DataError
from pep_tf.numbers import whole
from pep_tf.paths import resolve

MAX_INTEGER_ID = 1900  # its token still fits a 64-bit integer
AVAZU_FIRST_ROW_ID = 10**18

HEX_FACTOR = 2654435761  # odd, so multiplication modulo 2**32 can be undone
_FIRST_HOUR = np.datetime64("2014-10-21T00", "h")
_SPELLED = {"hex": b"[0-9a-f]{8}", "decimal": b"0|[1-9][0-9]{0,17}", "hour": b"[0-9]{8}"}


def write_raw_text(
    path: str | os.PathLike[str],
    shape: str = "criteo",
    *,
    rows: int,
    num_features: int = 2_000_000,
    seed: int = 0,
    rank: int = 8,
) -> dict[str, int | str]:
    r"""Writes rows 0 to `rows - 1` of what `synthetic` reads, in the form of the original file.

    Criteo: label, 13 integers (empty where missing), 26 values of 8 hex digits; tabs, no header,
    "\n" ends a line.
    Avazu: the original header; row id, click, hour as YYMMDDHH and 21 more columns; commas, "\n".
    `tokens` documents how each id is spelled. Memory does not grow with `rows`. The file appears
    under its name only when it is complete.

    Args:
        path: file to write; one that exists is replaced.
        shape, num_features, seed, rank: see `synthetic`.
        rows: at least 1.

    Returns:
        {"name": "synthetic-...", "rows": rows written, "bytes": size of the file}.

    Raises:
        DataError: an argument out of its range, or the file cannot be written.
    """
    rows = whole("rows", rows, least=1, most=10**12)
    source = RowSource(shape, num_features, seed, rank)
    for column, size in zip(source.layout.columns, source.schema.sizes, strict=True):
        if column.kind != "hex":
            _table(column.kind, size)  # complains now of a column too large, not in a thread
    path = resolve(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(_header(shape))
            for text in _blocks_of_text(source, rows):
                file.write(text)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written: {error}") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return {"name": f"synthetic-{shape}", "rows": rows, "bytes": path.stat().st_size}


def tokens(shape: str, field: int, ids: np.ndarray) -> np.ndarray:
    """The raw text of ids of a field (index), bytes of the shape of `ids`; `ids_of` undoes it.

    - "integer" (Criteo's I1 to I13): id 0 is missing (empty), ids 1, 2, 3 are the numbers 0, 1, 2,
      and id k >= 4 the smallest integer v with ln(v)**2 >= k - 3 + 1/4. Criteo's transform
      (int(ln(v)**2) above 2, else v - 2) gives each back as k - 3, so ids and prepared features are
      one to one. The quarter keeps v clear of the edge where rounding would decide.
    - "hex" (categories): `(2654435761 * id + crc32(column name)) modulo 2**32` as 8 hex digits.
    - "decimal" (Avazu's numbered columns): the id.
    - "hour" (Avazu): the id-th hour after 2014-10-21 00:00, as YYMMDDHH.

    Raises:
        DataError: an unknown shape; an id of an integer column above 1900.
    """
    column = get_shape(shape).columns[field]
    ids = np.asarray(ids, np.int64)
    if column.kind == "hex":
        return _hex(ids, column.name)
    return _table(column.kind, int(ids.max(initial=0)) + 1)[ids]


def ids_of(shape: str, field: int, raw: np.ndarray) -> np.ndarray:
    """The ids, int64, that `tokens` spells as `raw` (bytes) in a field (index).

    Raises:
        DataError: an unknown shape, or a text that no id has.
    """
    column = get_shape(shape).columns[field]
    raw = np.asarray(raw, "S")
    texts = raw.ravel().tolist()
    ids = [_id_of(column, text) for text in texts]
    if strange := [text for text, k in zip(texts, ids, strict=True) if k is None]:
        raise DataError(f"Column {column.name} must hold tokens of ids. Received: {strange[:3]}")
    return np.array(ids, np.int64).reshape(raw.shape)


def _id_of(column: Column, text: bytes) -> int | None:
    """The id that has this token in a column of any size, or None."""
    if column.kind == "integer":
        return _integer_ids().get(text)
    if not re.fullmatch(_SPELLED[column.kind], text):
        return None
    if column.kind == "decimal":
        return int(text)
    if column.kind == "hex":
        shifted = int(text, 16) - zlib.crc32(column.name.encode())
        return shifted * pow(HEX_FACTOR, -1, 2**32) % 2**32
    year, month, day, hour = re.findall("..", text.decode())
    try:
        since = np.datetime64(f"20{year}-{month}-{day}T{hour}", "h") - _FIRST_HOUR
    except ValueError:  # a day that no month has
        return None
    return int(since.astype(np.int64)) if since >= 0 else None


@functools.cache
def _integer_ids() -> dict[bytes, int]:
    return {token: k for k, token in enumerate(_table("integer", MAX_INTEGER_ID + 1).tolist())}


def _hex(ids: np.ndarray, name: str) -> np.ndarray:
    mixed = ids.astype(np.uint64) * np.uint64(HEX_FACTOR) + np.uint64(zlib.crc32(name.encode()))
    octets = mixed.astype(np.uint32).astype(">u4")[..., None].view(np.uint8)
    return _HEX_PAIRS[octets].view("S8")[..., 0]


@functools.lru_cache(maxsize=64)
def _table(kind: str, size: int) -> np.ndarray:
    """Tokens of the ids 0 to size - 1, bytes [size]."""
    if kind == "hour":
        iso = np.datetime_as_string(_FIRST_HOUR + np.arange(size))  # 2014-10-21T00
        return np.array([t[2:4] + t[5:7] + t[8:10] + t[11:13] for t in iso.tolist()], "S")
    if kind == "decimal":
        return np.array([str(k) for k in range(size)], "S")
    if size > MAX_INTEGER_ID + 1:
        raise DataError(
            f"`num_features` must leave each integer column at most {MAX_INTEGER_ID + 1} ids, "
            f"or its tokens do not fit 64 bits; ask for fewer. Received: a column of {size} ids"
        )
    large = (math.ceil(math.exp(math.sqrt(k - 3 + 0.25))) for k in range(4, size))
    return np.array(["", "0", "1", "2", *map(str, large)][:size], "S")


def _header(shape: str) -> bytes:
    if shape == "criteo":
        return b""
    names = ["id", "click", *(column.name for column in get_shape(shape).columns)]
    return ",".join(names).encode() + b"\n"


def _blocks_of_text(source: RowSource, rows: int) -> Iterator[bytes]:
    """The text of each block in turn, without header. tf.data looks a few blocks ahead, in
    threads."""

    def text(block: np.ndarray) -> bytes:
        return _text(source, int(block), min(BLOCK_ROWS, rows - int(block) * BLOCK_ROWS))

    blocks = tf.data.Dataset.range(-(-rows // BLOCK_ROWS)).map(
        lambda block: tf.numpy_function(text, [block], tf.string, stateful=False),
        num_parallel_calls=min(os.cpu_count() or 1, 8),
        deterministic=True,
    )
    return prefetch(blocks, 2).as_numpy_iterator()


def _text(source: RowSource, block: int, rows: int) -> bytes:
    """The first `rows` rows of a block as text.

    Each column becomes a matrix of characters padded with NUL; side by side they are the rows, and
    leaving out the NULs leaves the text. Thus no Python runs per row.
    """
    ids, labels, _ = source.block(block)
    ids, labels = ids[:, :rows], labels[:rows]
    separator = np.full((rows, 1), ord("\t" if source.shape == "criteo" else ","), np.uint8)
    pieces = []
    if source.shape == "avazu":
        row_ids = AVAZU_FIRST_ROW_ID + block * BLOCK_ROWS + np.arange(rows)
        pieces += [_characters(row_ids.astype("S")), separator]
    pieces.append((labels[:, None] + ord("0")).astype(np.uint8))
    for column, size, column_ids in zip(
        source.layout.columns, source.schema.sizes, ids, strict=True
    ):
        if column.kind == "hex":
            token = _hex(column_ids, column.name)
        else:
            token = _table(column.kind, size)[column_ids]
        pieces += [separator, _characters(token)]
    pieces.append(np.full((rows, 1), ord("\n"), np.uint8))
    matrix = np.concatenate(pieces, axis=1)
    return matrix.tobytes().translate(None, b"\0")


def _characters(token: np.ndarray) -> np.ndarray:
    """Bytes [n] as characters uint8 [n, longest], padded with NUL."""
    return token.view(np.uint8).reshape(len(token), token.dtype.itemsize)


_HEX_PAIRS = np.array([b"%02x" % k for k in range(256)], "S2")
