"""A text file, plain or gzip, as blocks of whole lines with their line numbers."""

import contextlib
import dataclasses
import gzip
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

from pep_tf.data.clicklogs.formats import Format
from pep_tf.data.clicklogs.strict import first_line_fault
from pep_tf.errors import DataError
from pep_tf.paths import resolve

BLOCK_BYTES = 1 << 19
_GZIP_MAGIC = b"\x1f\x8b"
MAX_UNBROKEN = 64 << 20


@dataclasses.dataclass(frozen=True)
class TextBlock:
    """Whole lines of a file.

    Attributes:
        data: the lines; only the file's last one may lack its newline.
        first_line: number of the first line, from 1.
        end: bytes of the (compressed) file read so far, for progress.
        start: place of `data` in the uncompressed text, bytes.
    """

    data: bytes
    first_line: int
    end: int
    start: int


def read_blocks(
    path: str | os.PathLike[str],
    fmt: Format,
    block_bytes: int = BLOCK_BYTES,
    digest: Any = None,
) -> Iterator[TextBlock]:
    """Streams a raw file, its header left out, in bounded memory.

    Args:
        path: plain text or gzip.
        fmt: of the text.
        block_bytes: text a block.
        digest: of `hashlib`; is given all of the text, header included, as it is read.

    Raises:
        DataError: the file is missing, empty, a truncated or damaged gzip, of another format (see
            `first_line_fault`), or has 64 MB without a line end.
    """
    path = resolve(path)
    with open_raw(path) as (stream, compressed):
        yield from blocks_of(stream, compressed.tell, path, fmt, block_bytes, digest)


def blocks_of(
    stream: IO[bytes],
    end: Callable[[], int],
    path: object,
    fmt: Format,
    block_bytes: int = BLOCK_BYTES,
    digest: Any = None,
) -> Iterator[TextBlock]:
    """The blocks of an open text; `end` tells the bytes of the file read so far, `path` is for messages."""
    first = stream.readline(1 << 20)
    if not first:
        raise DataError(f"{path}: empty file.")
    if fault := first_line_fault(fmt, first):
        raise DataError(f"{path}, line 1: {fault}.")
    if digest is not None:
        digest.update(first)
    rest, line, start = (b"", 2, len(first)) if fmt.header else (first, 1, 0)
    pieces = [rest]
    while True:
        data = stream.read(block_bytes)
        if digest is not None:
            digest.update(data)
        cut = data.rfind(b"\n") + 1
        if data and not cut:
            pieces.append(data)
            if sum(map(len, pieces)) > MAX_UNBROKEN:
                raise DataError(f"{path}, line {line}: no line end in 64 MB; is this a text file?")
            continue
        block = b"".join([*pieces, data[:cut]])
        pieces = [data[cut:]]
        if block:
            yield TextBlock(block, line, end(), start)
        line += block.count(b"\n")
        start += len(block)
        if not data:
            return


@contextlib.contextmanager
def open_raw(path: pathlib.Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Opens a plain or gzip file: `with open_raw(path) as (text, file on disk)`."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    with file:
        packed = starts_gzip(file)
        try:
            yield cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file, file
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: truncated or damaged gzip file ({error}).") from error


def starts_gzip(file: IO[bytes]) -> bool:
    """Whether an open file starts like gzip, whatever its name; it is at its start again afterwards."""
    start = file.read(len(_GZIP_MAGIC))
    file.seek(0)
    return start == _GZIP_MAGIC
