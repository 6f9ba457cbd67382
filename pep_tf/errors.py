"""The errors that are the user's to mend: the command line prints them without a traceback."""


class PepError(ValueError):
    """A mistake in what was given to the package; the message says what to do about it."""


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
