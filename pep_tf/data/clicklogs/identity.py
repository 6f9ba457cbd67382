"""The identity of a click log: what its options decide, beside what its text holds."""

from collections.abc import Mapping
from typing import Any

from pep_tf.data.clicklogs.build import Options
from pep_tf.data.clicklogs.formats import FORMATS, Format
from pep_tf.data.identity import Identity
from pep_tf.data.store.manifest import STORE
from pep_tf.errors import DataError

RAW = "raw text"  # a form to read from, as `STORE` is; their rows come in another order


def click_log_identity(
    fmt: Format, options: Options, form: str, content: Mapping[str, Any], source: str
) -> Identity:
    """The identity of a click log that is read with `options`.

    Args:
        fmt: of the raw text.
        options: those that have no effect on an encoding or a format are left out.
        form: `STORE` or `RAW`.
        content: from `ContentDigest.digests`; empty where it is not known.
        source: name of the raw file, for messages.
    """
    names = _MAPPING[options.encoding] + (("hour",) if fmt.hours else ())
    mapping: dict[str, Any] = {"encoding": options.encoding}
    mapping |= {_KEYS.get(name, name): getattr(options, name) for name in names}
    if "buckets" in mapping:
        mapping["buckets"] = {f.name: f.buckets for f in options.features(fmt)}
    return Identity(
        content=content,
        mapping=mapping,
        split={"split seed": options.seed},
        options={"read from": form, "on_bad_row": options.on_bad_row},
        source=source,
    )


def identity_of_manifest(manifest: Mapping[str, Any]) -> Identity:
    """The identity of a store; without content where the version that wrote it kept no digests.

    Raises:
        DataError: options that no store can have, or other ones than the identity has.
    """
    options = options_of(manifest)
    if found := Identity.from_config(manifest.get("identity")):
        if (own := found.mapping["encoding"]) != options.encoding:
            raise DataError(
                f"encoding {options.encoding!r} among the options, {own!r} of the identity"
            )
        return found
    fmt = FORMATS[manifest["dataset"]]
    return click_log_identity(fmt, options, STORE, {}, manifest["raw"]["name"])


def options_of(manifest: Mapping[str, Any]) -> Options:
    """The options that a store was made with, without those that had no effect."""
    made = manifest["options"]
    names = {"encoding", "seed", "on_bad_row", "hour", *_MAPPING[made["encoding"]]}
    return Options(**{name: value for name, value in made.items() if name in names})


_MAPPING = {"hash": ("seed", "buckets"), "vocabulary": ("min_count", "count_on")}
_KEYS = {"seed": "hash seed"}


def refuse_other_options(
    fmt: Format, known: Identity, given: Mapping[str, Any], where: object
) -> None:
    """Refuses options that a store was not made with.

    Args:
        fmt: of the raw text.
        known: the store's identity.
        given: fields of `Options` that were asked for, None where they were not.
        where: the store, for the message.

    Raises:
        DataError: a value that no store could have, or another one than the store has.
    """
    asked = {name: value for name, value in given.items() if value is not None}
    encoding = known.mapping["encoding"]
    Options(**{"encoding": encoding, **asked}).features(fmt)  # refuses nonsense
    mapping = {_KEYS.get(name, name): asked[name] for name in _STORED if name in asked}
    if "buckets" in mapping:
        mapping["buckets"] = {**known.mapping.get("buckets", {}), **mapping["buckets"]}
    if encoding != "hash":
        mapping.pop("hash seed", None)
    split = {"split seed": asked["seed"]} if "seed" in asked else {}
    options = {name: asked[name] for name in ("on_bad_row",) if name in asked}
    if told := known.difference(Identity(mapping=mapping, split=split, options=options)):
        raise DataError(
            f"{where}: the store was made with {told}. Leave that out, or prepare a store with it."
        )


_STORED = ("encoding", "seed", "buckets", "min_count", "count_on", "hour")
