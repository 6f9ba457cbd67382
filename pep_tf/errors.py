"""The errors that are the user's to mend: the command line prints them without a traceback."""

import contextlib
import pathlib
from collections.abc import Iterator


class PepError(ValueError):
    """A mistake in what was given to the package; the message says what to do about it.

    Example:
        >>> try:
        ...     pep_tf.Ticket.load("gone.safetensors")
        ... except PepError as error:
        ...     print(error)
        a ticket ...gone.safetensors is missing.
    """


class DataError(PepError):
    """A data set that is missing, damaged, or not what it should be."""


class TicketError(PepError):
    """A ticket file that cannot be read, or that belongs to another table."""


class RunError(PepError):
    """A run folder, a flag or a run that cannot go on as asked."""


class ModelError(RunError):
    """A model that cannot be taken apart or made anew, or that has nothing to prune."""


class DivergedError(RunError):
    """A loss that is not finite: a search passes over such a run, everything else ends with it."""


class NumberError(DataError, RunError):
    """A number that cannot be read or is out of bounds, whatever it was given for."""


@contextlib.contextmanager
def reading(path: pathlib.Path, error: type[PepError], advice: str) -> Iterator[None]:
    """Names the file where its content makes the code within fail: it is damaged, or of another version.

    Args:
        path: the file.
        error: class of the error to raise.
        advice: what to do about it.

    Raises:
        PepError: of class `error`; one from within that names a file of that folder passes as it is.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as cause:
        if isinstance(cause, PepError) and str(path.parent) in str(cause):
            raise
        what = " ".join(f"{type(cause).__name__}: {cause}".rstrip(".").split())
        raise error(f"{path} is damaged or of another version ({what}); {advice}.") from cause
