"""Prepares a store from a raw file: what `python -m data_prep.<data set>.prepare` runs."""

import os
from typing import Any

from pep_tf.data.clicklogs.build import Options
from pep_tf.data.clicklogs.builders import BUILDERS, ClickLog, config_of
from pep_tf.data.clicklogs.formats import FORMATS
from pep_tf.data.clicklogs.process import RawFile
from pep_tf.data.store.write import write
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
    """Writes the store of a raw file into `out`; see `write`.

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
    source, builder = ClickLog(file, options), BUILDERS[dataset]
    return write(
        source, out, builder, config=config_of(options), overwrite=overwrite, verify=verify
    )


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
