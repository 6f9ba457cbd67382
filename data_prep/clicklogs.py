"""The command line that Criteo and Avazu share."""

import re
import sys
from collections.abc import Sequence

from absl import flags, logging

from pep_tf.data.clicklogs.build import COUNT_ON, ENCODINGS, Options
from pep_tf.data.clicklogs.prepare import prepare, report
from pep_tf.data.clicklogs.process import ON_BAD_ROW
from pep_tf.errors import DataError, PepError

_RAW = flags.DEFINE_string("raw", None, "The raw file, plain or gzip.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder for the prepared data.", required=True)
_ENCODING = flags.DEFINE_enum("encoding", "hash", ENCODINGS, "How features become ids.")
_BUCKETS = flags.DEFINE_list(
    "buckets", [], "hash: sizes where the default is not wanted, `field=size`, comma-separated."
)
_MIN_COUNT = flags.DEFINE_integer(
    "min_count", 10, "vocabulary: features seen less often share one id per field."
)
_COUNT_ON = flags.DEFINE_enum(
    "count_on", "train", COUNT_ON, "vocabulary: count the training split, or all rows."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the hash, the split and the shuffle.")
_WORKERS = flags.DEFINE_integer("workers", 2, "Threads.")
_ON_BAD_ROW = flags.DEFINE_enum(
    "on_bad_row", "error", ON_BAD_ROW, "Stop at the first bad line, or skip and count them."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace the store that is there.")
_VERIFY = flags.DEFINE_bool(
    "verify",
    False,
    "Hash the raw file and a store that is there again, even if size, times and inode are the same.",
)


def run(dataset: str, hour: str = "raw") -> None:
    """Prepares `dataset` from the flags and prints what came out; a `PepError` ends in one line."""
    logging.set_verbosity(logging.ERROR)  # TFDS tells every step; the bars and the report do.
    try:
        options = Options(
            encoding=_ENCODING.value,
            buckets=_parse_buckets(_BUCKETS.value),
            min_count=_MIN_COUNT.value,
            count_on=_COUNT_ON.value,
            hour=hour,
            seed=_SEED.value,
            on_bad_row=_ON_BAD_ROW.value,
        )
        manifest = prepare(
            dataset,
            _RAW.value,
            _OUT.value,
            options,
            workers=_WORKERS.value,
            progress=True,
            overwrite=_OVERWRITE.value,
            verify=_VERIFY.value,
        )
    except PepError as error:
        sys.exit(f"error: {error}")
    print(report(manifest))


def _parse_buckets(items: Sequence[str]) -> dict[str, int]:
    buckets = {}
    for item in items:
        if not (match := re.fullmatch(r"(\w+)=([0-9]{1,10})", item.strip())):
            raise DataError(f"`--buckets` must be like C3=65536,C4=65536. Received: {item!r}")
        buckets[match[1]] = int(match[2])
    return buckets
