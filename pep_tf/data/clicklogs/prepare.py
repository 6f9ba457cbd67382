"""Prepares a store from a raw file: what `python -m data_prep.<data set>.prepare` runs."""

import os
import pathlib
from typing import Any

from pep_tf.data.clicklogs.build import Options, estimate_rows
from pep_tf.data.clicklogs.builders import BUILDERS, new_builder
from pep_tf.data.clicklogs.content import ContentDigest, still_holds
from pep_tf.data.clicklogs.formats import FORMATS
from pep_tf.data.clicklogs.identity import click_log_identity, identity_of_manifest
from pep_tf.data.clicklogs.process import LineCounts, RawFile
from pep_tf.data.identity import Identity
from pep_tf.data.store.manifest import (
    RAW_FILE,
    STORE,
    check_version,
    note_stamps,
    read_manifest,
    read_stamps,
    reading_manifest,
    stamp,
)
from pep_tf.data.store.place import is_same, publish, published, writing_to
from pep_tf.data.store.quiet import quiet
from pep_tf.errors import DataError
from pep_tf.paths import resolve


def prepare(
    dataset: str,
    raw: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: Options | None = None,
    *,
    workers: int = 2,
    progress: bool = False,
    overwrite: bool = False,
    verify: bool = False,
) -> dict[str, Any]:
    """Writes the store of a raw file into `out`.

    Everything is written under `out/.unfinished` and takes its name when it is complete, so that a
    preparation which is killed leaves no store; the next one starts clean. An earlier store stays as
    it is until the new one is complete.

    Args:
        dataset: `criteo` or `avazu`.
        raw: text or gzip file.
        out: folder, made when missing; it holds one store of each data set.
        options: what decides the content.
        workers: threads.
        progress: shows bars with the time left.
        overwrite: replaces the store that is there.
        verify: of a store that is there, hashes the raw file and every file of the store even where
            size, times and inode are what they were.

    Returns:
        The manifest, with the store's folder as `folder`. A store of the same content and options
        that is already there is checked and returned.

    Raises:
        DataError: bad input, a store of other content or options, another preparation running, a full
            disk.
    """
    options = options or Options()
    raw, out = resolve(raw), resolve(out)
    if dataset not in FORMATS:
        raise DataError(f"`dataset` must be one of {list(FORMATS)}. Received: {dataset!r}")
    fmt = FORMATS[dataset]
    # Constructed for its checks of the arguments, before anything is written.
    file = RawFile(raw, fmt, options.features(fmt), options.on_bad_row, workers, progress)
    rows = estimate_rows(raw, fmt)
    with writing_to(out, rows * (4 * len(file.features) + 32)) as unfinished:
        store = out / BUILDERS[dataset].name
        folder = published(store)
        if folder is None or overwrite or not _holds(folder, file, options, verify):
            builder = new_builder(unfinished, file, options)
            with quiet():
                builder.download_and_prepare(download_dir=str(unfinished / "downloads"))
            folder = publish(store)
    return {"folder": str(folder), **read_manifest(folder)}


def _holds(folder: pathlib.Path, raw: RawFile, options: Options, verify: bool) -> bool:
    """Whether the store in place was made from this file with these options; see `is_same`."""
    manifest = read_manifest(folder, verify=verify)
    check_version(folder, manifest)
    with reading_manifest(folder):
        known = identity_of_manifest(manifest)
    asked = click_log_identity(raw.format, options, STORE, {}, raw.path.name)
    if not is_same(folder, known, asked):
        return False
    now, before = stamp(raw.path), read_stamps(folder).get(RAW_FILE, ())
    text = known.content["features"]
    if not still_holds(raw.path, raw.format, text, before, verify=verify):
        is_same(folder, known, Identity(content=_content(raw)))
    note_stamps(folder, {RAW_FILE: now})
    return True


def _content(raw: RawFile) -> dict[str, Any]:
    """What a raw file holds, row by row: for the message, so that it can name what changed."""
    content = ContentDigest()
    for _ in raw.map(lambda block: True, LineCounts(raw.format), "comparing", content):
        pass
    return content.digests()


def report(manifest: dict[str, Any]) -> str:
    """What a preparation prints: rows, fields, sizes, bytes, md5, bad rows, collisions."""
    lines = [f"store      {manifest['folder']}"]
    counts = manifest["lines"]
    lines.append(
        f"lines      {counts['lines']} = {counts['rows']} rows + {counts['bad']} bad"
        f" + {counts['header']} header"
    )
    lines.extend(f"  bad      {n} x {reason}" for reason, n in counts["bad_by_reason"].items())
    lines.extend(f"  example  line {e['line']}: {e['reason']}" for e in counts["bad_examples"])
    for name, split in manifest["splits"].items():
        rate = split["clicks"] / split["rows"]
        md5 = split["rows_md5"]
        lines.append(f"{name:<10} {split['rows']} rows, {rate:.4f} clicked, md5 of rows {md5}")
    schema = manifest["schema"]
    lines.append(f"features   {sum(f['size'] for f in schema)} in {len(schema)} fields")
    shared = {c["name"]: c for c in manifest.get("collisions", [])}
    for field in schema:
        line = f"  {field['name']:<16} {field['size']:>9}"
        if field["name"] in shared:
            c = shared[field["name"]]
            line += f"  {c['used']:>8} used, about {c['shared']:.1%} of features share a bucket"
        lines.append(line)
    for name, facts in manifest["files"].items():
        lines.append(f"{facts['md5']}  {facts['bytes']:>12}  {name}")
    return "\n".join(lines)
