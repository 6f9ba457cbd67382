"""A raw text on any file system that Beam knows, as ranges of bytes that workers read by themselves."""

from collections.abc import Iterator
from typing import IO, NamedTuple

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pep_tf.data.clicklogs.formats import Format
from pep_tf.data.clicklogs.text import BLOCK_BYTES, MAX_UNBROKEN, TextBlock, blocks_of, starts_gzip
from pep_tf.errors import DataError

RANGE_BYTES = 16 << 20
_MAX_RANGES = 1 << 16


class Range(NamedTuple):
    """The whole lines of a text whose first byte is in [start, end)."""

    number: int
    start: int
    end: int


def open_text(path: str) -> IO[bytes]:
    """A file as its bytes are.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    except (BeamIOError, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]}).") from error


def first_block(path: str, fmt: Format) -> TextBlock | None:
    """The first block of rows; raises what `read_blocks` does, and DataError for gzip."""
    with open_text(path) as text:
        if starts_gzip(text):
            raise DataError(
                f"{path}: a gzip file cannot be read in ranges; unpack it, or leave out --runner."
            )
        return next(blocks_of(text, text.tell, path, fmt), None)


def ranges_of(path: str, start: int) -> list[Range]:
    """The text from `start` on, where its first row is."""
    size = size_of(path)
    each = max(RANGE_BYTES, -(-size // _MAX_RANGES))
    starts = range(start, size, each)
    return [Range(i, first, min(first + each, size)) for i, first in enumerate(starts)]


def size_of(path: str) -> int:
    """Bytes of a file."""
    return int(FileSystems.match([path])[0].metadata_list[0].size_in_bytes)


def blocks_in(path: str, place: Range, first_line: int = 0) -> Iterator[TextBlock]:
    """The blocks of whole lines of a range.

    Args:
        path: of the text.
        place: the range.
        first_line: number of its first line.
    """
    with open_text(path) as text:
        at = place.start
        text.seek(max(0, at - 1))
        if at:  # a line that is under way belongs to the range before
            at += len(_line(text, path)) - 1
        while at < place.end:
            data = text.read(min(BLOCK_BYTES, place.end - at))
            if not data:
                return
            if not data.endswith(b"\n"):
                data += _line(text, path)
            yield TextBlock(data, first_line, at + len(data), at)
            first_line += data.count(b"\n")
            at += len(data)


def _line(text: IO[bytes], path: str) -> bytes:
    line = text.readline(MAX_UNBROKEN)
    if len(line) == MAX_UNBROKEN:
        raise DataError(f"{path}: no line end in 64 MB; is this a text file?")
    return line
