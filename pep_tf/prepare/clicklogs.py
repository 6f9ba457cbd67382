"""The command line that Criteo and Avazu share."""

import re
import sys
from collections.abc import Sequence

from absl import logging

from pep_tf.command_line import Command
from pep_tf.data.clicklogs.beam.runners import RUNNERS
from pep_tf.data.clicklogs.build import (
    COUNT_ON,
    ENCODINGS,
    ON_BAD_ROW,
    ClickLogOptions,
    check_effects,
)
from pep_tf.data.clicklogs.formats import FORMATS
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.schema import FeatureSchema
from pep_tf.data.store.report import report
from pep_tf.errors import DataError
from pep_tf.experiments.config import Config
from pep_tf.experiments.memory import in_words, memory_of
from pep_tf.extras import require
from pep_tf.numbers import whole
from pep_tf.training.memory_pool import machine_memory

_DIMS = (16, 64)  # embedding dimensions to tell the memory for


def new_command(dataset: str, about: str) -> Command:
    """The flags of a preparation."""
    # TFDS tells every step; the bars and the report do.
    command = Command(f"pep_tf.prepare.{dataset}", about, least_level=logging.ERROR)
    default = ClickLogOptions()
    command.heading("Files")
    command.path(
        "raw", None, "the raw file, plain or gzip", required=True, exists=True, remote=True
    )
    command.path("out", None, "folder for the prepared data", required=True)
    command.switch("overwrite", False, "replace the store that is there")
    command.switch(
        "verify",
        False,
        "hash the raw file and a store that is there again, even if size, times and inode are the same",
    )
    command.heading("Features")
    command.choice("encoding", default.encoding, ENCODINGS, "how features become ids")
    command.text(
        "buckets",
        None,
        "hash: sizes where the default is not wanted",
        value="FIELD=N,...",
        shown="131072, 16384 or 2048 by field",
    )
    command.whole(
        "min_count",
        default.min_count,
        "vocabulary: features seen less often share one id per field",
    )
    command.choice(
        "count_on", default.count_on, COUNT_ON, "vocabulary: count the training split, or all rows"
    )
    command.heading("Rows")
    command.whole("seed", default.seed, "of the hash, the split and the shuffle")
    command.choice(
        "on_bad_row",
        default.on_bad_row,
        ON_BAD_ROW,
        "stop at the first bad line, or leave it out and count it",
    )
    command.heading("How to run")
    command.whole("workers", 2, "threads", least=1)
    command.choice(
        "runner",
        None,
        RUNNERS,
        "prepare by Apache Beam, for a log that outgrows this machine: --raw may then be such as gs://, but "
        "not gzip. DirectRunner stays in this process",
    )
    command.text(
        "beam_options",
        None,
        "with --runner: options of Beam and the runner, --temp_location for workers elsewhere",
        value="'--OPTION=VALUE ...'",
    )
    return command


def run(
    command: Command, dataset: str, arguments: Sequence[str] | None = None, hour: bool = False
) -> int:
    """Prepares `dataset` from the flags and prints what came out; returns the exit code.

    Args:
        command: from `new_command`.
        dataset: `criteo` or `avazu`.
        arguments: of the command line; None for those of this process.
        hour: whether the command has a flag `--hour`.
    """

    def main(_: list[str]) -> None:
        flags = command.values
        check_effects(flags.encoding, command.given())
        options = ClickLogOptions(
            encoding=flags.encoding,
            buckets=_read_buckets(flags.buckets or ""),
            min_count=flags.min_count,
            count_on=flags.count_on,
            seed=flags.seed,
            on_bad_row=flags.on_bad_row,
            **({"hour": flags.hour} if hour else {}),
        )
        if options.encoding == "hash":  # whose sizes are known before anything is read
            fields = options.features(FORMATS[dataset])
            needed = _memory(FeatureSchema.of({f.name: f.buckets for f in fields}))
            if min(needed.values()) > machine_memory():
                print(f"{_told(needed)}; this machine has less", file=sys.stderr, flush=True)
        how = {"overwrite": flags.overwrite, "verify": flags.verify}
        if flags.runner is None:
            _refuse_given(command, "beam_options", "without --runner")
            if isinstance(flags.raw, str):
                raise DataError(f"--raw={flags.raw} is not on this machine: give a --runner.")
            how |= {"workers": flags.workers, "progress": True}
            manifest = prepare(dataset, flags.raw, flags.out, options, **how)
        else:
            _refuse_given(command, "workers", "with --runner, which has workers of its own")
            require("--runner", "beam")
            from pep_tf.data.clicklogs.beam.prepare import prepare as prepare_by_beam

            how |= {"runner": flags.runner, "beam_options": flags.beam_options or ""}
            manifest = prepare_by_beam(dataset, str(flags.raw), flags.out, options, **how)
        print(report(manifest))
        print(_told(_memory(FeatureSchema.from_config(manifest["schema"]))))

    return command.run(main, arguments)


def _refuse_given(command: Command, name: str, beside: str) -> None:
    if name in command.given():
        raise DataError(f"`{name}` has no effect {beside}. Leave it out.")


def _memory(schema: FeatureSchema) -> dict[int, int]:
    """Bytes that training on such features takes at least, by embedding dimension."""
    configs = [Config(embedding_dim=dim) for dim in _DIMS]
    return {c.embedding_dim: memory_of(c, schema, c.batch_size).total for c in configs}


def _told(needed: dict[int, int]) -> str:
    parts = (f"{in_words(size)} with --embedding_dim={dim}" for dim, size in needed.items())
    return f"training   takes at least {', '.join(parts)}"


def _read_buckets(text: str) -> dict[str, int]:
    """`C3=65536,C4=262,144` as `{field: size}`: a comma that a field follows separates."""
    buckets: dict[str, int] = {}
    for item in re.split(r",(?=\s*\w+\s*=)", text) if text.strip() else ():
        name, equals, size = (part.strip() for part in item.partition("="))
        if not (re.fullmatch(r"\w+", name) and equals):
            raise DataError(f"`buckets` must be like C3=65536,C4=65536. Received: {item!r}")
        if name in buckets:
            raise DataError(f"`buckets` must name each field once. Received twice: {name}")
        buckets[name] = whole(f"buckets of {name}", size)
    return buckets
