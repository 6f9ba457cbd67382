"""What all commands have in common: flags below headings, their help, mistakes told in one line."""

import dataclasses
import errno
import pathlib
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import flags, logging

from pep_tf.driver import find_devices
from pep_tf.errors import PepError
from pep_tf.notices import told_from
from pep_tf.numbers import real, split_list, whole, wholes
from pep_tf.paths import resolve

_HELP = ("-h", "-help", "--help", "--helpfull", "--helpshort")
_INTERRUPTED = 130
_WIDEST, _COLUMN = 100, 27  # characters of a line of help, and of a flag's name in it
# What a folder or a disk may refuse; other errors of the system are faults of the program.
_REFUSED = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG)

_ON_THE_HOST = ". --table_device=cpu keeps tables and their moments on the host"


class UsageError(PepError):
    """A command line that cannot be understood."""


@dataclasses.dataclass(frozen=True)
class _Shown:
    """A flag as the help shows it."""

    name: str
    text: str
    default: str


class Command:
    """The command line of one module.

    Every kind of flag has a method that defines it below the latest heading and returns its holder,
    whose `value` is there once the command line has been read.

    Args:
        module: as `python -m` takes it.
        about: what it does, such as the module's docstring; the help shows its first paragraph.
        arguments: what the arguments that are no flags are called, such as "RUN_DIR ..."; empty if
            there are none.
        after_interrupt: what to do after Ctrl-C, for the message.
        least_level: messages of libraries below it are left out; a level of `absl.logging`.

    Example:
        >>> command = Command("my.module", "Counts.")
        >>> rows = command.whole("rows", 10, "how many", least=1)
        >>> command.read(["--rows=5,000"]), rows.value
        ([], 5000)
    """

    def __init__(
        self,
        module: str,
        about: str,
        *,
        arguments: str = "",
        after_interrupt: str = "",
        least_level: int = logging.WARNING,
    ) -> None:
        self.module, self._least_level = module, least_level
        self.values = flags.FlagValues()
        self._about, self._arguments = about, arguments
        self._after_interrupt = after_interrupt
        self._groups: dict[str, list[_Shown]] = {}
        self._required: list[str] = []
        self._refused: dict[str, str] = {}
        self._heading = "Flags"

    def heading(self, title: str) -> None:
        """Begins a group of flags."""
        self._heading = title

    def text(
        self, name: str, default: str | None, about: str, *, value: str = "TEXT", shown: str = ""
    ) -> flags.FlagHolder:
        """Any text. `value` stands for it in the help, `shown` for a default of None."""
        return self._define(str, name, default, about, value, shown)

    def path(
        self,
        name: str,
        default: str | None,
        about: str,
        *,
        shown: str = "",
        required: bool = False,
        exists: bool = False,
        remote: bool = False,
    ) -> flags.FlagHolder:
        """A file or folder, as an absolute `pathlib.Path`; `~` is the home. `exists`: it must be there.

        `remote`: an address such as `gs://bucket/file` is taken too, and stays text.
        """
        if required:
            self._required.append(name)
            shown = "required"

        def read(text: str) -> pathlib.Path | str:
            if remote and "://" in text:
                return text
            try:
                path = resolve(text)
            except PepError as error:
                raise UsageError(f"--{name}: {error}") from None
            if exists and not path.exists():
                raise UsageError(f"--{name}={path}: there is no such file or folder.")
            return path

        return self._define(read, name, default, about, "PATH", shown)

    def whole(
        self, name: str, default: int | None, about: str, *, shown: str = "", **bounds: int
    ) -> flags.FlagHolder:
        """A whole number; `least` and `most` bound it."""
        return self._define(
            lambda text: whole(name, text, **bounds), name, default, about, "N", shown
        )

    def real(
        self, name: str, default: float | None, about: str, *, shown: str = "", **bounds: float
    ) -> flags.FlagHolder:
        """A number; `least` and `most` bound it."""
        return self._define(
            lambda text: real(name, text, **bounds), name, default, about, "X", shown
        )

    def choice(
        self,
        name: str,
        default: str | None,
        choices: Iterable[str],
        about: str,
        *,
        shown: str = "",
    ) -> flags.FlagHolder:
        """One of several words."""
        known = tuple(choices)

        def read(text: str) -> str:
            if text not in known:
                raise PepError(f"`{name}` must be one of {', '.join(known)}. Received: {text!r}")
            return text

        return self._define(read, name, default, about, "|".join(known), shown)

    def items(
        self,
        name: str,
        default: Sequence[str] | None,
        about: str,
        *,
        counts: bool = False,
        shown: str = "",
    ) -> flags.FlagHolder:
        """A comma-separated list of texts; with `counts` each may be a count (see `split_list`)."""
        return self._define(
            lambda text: split_list(name, text, counts=counts),
            name,
            default,
            about,
            "A,B,...",
            shown,
        )

    def wholes(
        self, name: str, default: Sequence[int] | None, about: str, *, least: int | None = None
    ) -> flags.FlagHolder:
        """A comma-separated list of whole numbers."""
        return self._define(
            lambda text: wholes(name, split_list(name, text), least=least),
            name,
            default,
            about,
            "N,N,...",
        )

    def switch(self, name: str, default: bool, about: str) -> flags.FlagHolder:
        """On or off: `--name`, `--noname`."""
        negated = name.startswith("no_") and not default
        self._show(f"--{name}" if negated else f"--[no]{name}", about, "on" if default else "off")
        return flags.DEFINE_boolean(name, default, about, flag_values=self.values)

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Flags of other commands that this one has not, `{name: why}`; the help leaves them out."""
        self._refused = dict(reasons)

    def _define(
        self,
        read: Callable[[str], Any],
        name: str,
        default: Any,
        about: str,
        value: str,
        shown: str = "",
    ) -> flags.FlagHolder:
        if isinstance(default, list | tuple):
            shown = ", ".join(map(str, default))  # with a space, so that a long one can be wrapped
        elif default is not None:
            shown = str(default)
        self._show(f"--{name}={value}", about, shown)
        return flags.DEFINE(_Parser(read), name, default, about, flag_values=self.values)

    def _show(self, name: str, about: str, default: str) -> None:
        self._groups.setdefault(self._heading, []).append(_Shown(name, about, default))

    def given(self) -> dict[str, Any]:
        """The flags that the command line has set, by name."""
        return {name: self.values[name].value for name in self.values if self.values[name].present}

    def read(self, arguments: Sequence[str]) -> list[str]:
        """Takes the flags from a command line; returns the arguments that are none.

        Raises:
            PepError: an unknown flag, a value that it cannot have, an argument too few or too many.
        """
        for name in self.values:
            self.values[name].unparse()
        if any(re.fullmatch("--?undefok(=.*)?", argument) for argument in _flags(arguments)):
            raise UsageError("Unknown command line flag 'undefok' (--help lists the flags)")
        try:
            _, *rest = self.values([self.module, *arguments])
        except flags.IllegalFlagValueError as error:
            raise _reason(error) from None
        except flags.UnrecognizedFlagError as error:
            if reason := self._refused.get(error.flagname.removeprefix("no")):
                raise UsageError(f"`{error.flagname}` has no effect here: {reason}.") from None
            raise UsageError(f"{error} (--help lists the flags)") from None
        except flags.Error as error:
            raise UsageError(f"{error} (--help lists the flags)") from None
        for name in self._required:
            if self.values[name].value is None:
                raise UsageError(f"--{name} must be given. (--help lists the flags)")
        if rest and not self._arguments:
            raise UsageError(f"Unexpected arguments {rest}: flags look like --name=value.")
        if self._arguments and not rest:
            raise UsageError(f"{self._arguments} must be given. (--help tells more)")
        return rest

    def run(
        self, main: Callable[[list[str]], int | None], arguments: Sequence[str] | None = None
    ) -> int:
        """Reads the command line and calls `main` with the arguments that are no flags.

        What is the user's to mend is told in one line.

        Args:
            main: returns the exit code, None for 0.
            arguments: of the command line; None for those of this process.

        Returns:
            The exit code.
        """
        arguments = sys.argv[1:] if arguments is None else list(arguments)
        if any(argument in _HELP for argument in _flags(arguments)):
            print(self.help())
            return 0
        if not flags.FLAGS.is_parsed():  # those of libraries: absl's log waits for it
            flags.FLAGS([self.module])
        logging.use_absl_handler()
        try:
            rest = self.read(arguments)
            find_devices()
            with told_from(self._least_level):
                return main(rest) or 0
        except PepError as error:
            return refuse(error)
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            told = f"out of memory: {error}".splitlines()[0]
            on_gpu = "GPU" in told and "table_device" in self.values
            return refuse(told + (_ON_THE_HOST if on_gpu else ""))
        except OSError as error:
            if not error.filename or not (isinstance(error, _REFUSED) or error.errno in _FULL):
                raise
            return refuse(f"{error.filename}: {error.strerror}")
        except KeyboardInterrupt:
            print("\ninterrupted" + self._after_interrupt, file=sys.stderr)
            return _INTERRUPTED

    def help(self) -> str:
        """What `--help` prints: usage, what the command does, every flag with its default."""
        width = min(_WIDEST, shutil.get_terminal_size().columns)
        arguments = f" {self._arguments}" if self._arguments else ""
        about = " ".join(self._about.strip().split("\n\n")[0].split())
        lines = [f"usage: python -m {self.module} [--flag=value ...]{arguments}", ""]
        lines += textwrap.wrap(about, width, break_long_words=False, break_on_hyphens=False)
        for title, shown in self._groups.items():
            lines += ["", f"{title}:", *(line for flag in shown for line in _lines(flag, width))]
        return "\n".join(lines)


def _flags(arguments: Sequence[str]) -> Sequence[str]:
    """What may be flags: all before `--`."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


class _Parser(flags.ArgumentParser):
    """Reads the text of a flag; a default is no text and stays as it is."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        self._read = read

    def parse(self, argument: Any) -> Any:
        return self._read(argument) if isinstance(argument, str) else argument


def _lines(flag: _Shown, width: int) -> list[str]:
    text = flag.text + (f" [{flag.default}]" if flag.default else "")
    wrapped = textwrap.wrap(
        text, width - _COLUMN - 2, break_long_words=False, break_on_hyphens=False
    )
    if len(flag.name) >= _COLUMN:
        return [f"  {flag.name}", *(" " * (_COLUMN + 2) + line for line in wrapped)]
    names = [f"  {flag.name:<{_COLUMN}}"] + [" " * (_COLUMN + 2)] * (len(wrapped) - 1)
    return [name + line for name, line in zip(names, wrapped, strict=True)]


def _reason(error: flags.IllegalFlagValueError) -> PepError:
    """Why a value was refused, without what absl puts before it."""
    own = error.__context__
    if isinstance(own, PepError):
        return own
    name, _, value = str(error).removeprefix("flag --").partition(":")[0].partition("=")
    return UsageError(f"`{name}` must be true or false. Received: {value!r}")


def refuse(error: object) -> int:
    """Tells what the user can mend; returns the exit code."""
    print(f"error: {error}", file=sys.stderr)
    return 1
