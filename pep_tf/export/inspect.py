"""What is inside an exported model, byte by byte: `python -m pep_tf.export.inspect PATH`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pep_tf.command_line import Command
from pep_tf.errors import DataError, PepError
from pep_tf.export.litert import MODEL
from pep_tf.export.model_card import MODEL_CARD, read_card, sha256
from pep_tf.export.version_folder import latest_version
from pep_tf.paths import resolve
from pep_tf.tables.packed.pair import SharedWeights

_SHARED = SharedWeights.__name__
_FIRST_ORDER = "first_order"
_VARIABLES = "variables/variables.data-00000-of-00001"
_OTHERWISE = ("missing", "changed", "added")  # than the model card has it


def inspect(path: str | Path) -> dict[str, Any]:
    """Sizes of an exported model.

    Args:
        path: a version's folder, or a model's folder (then its latest version).

    Returns:
        `version` (folder), `bytes` by part (`values`, `indices`, `first_order`, `tower`,
        `vocabulary`, `graph`, `other` and their sum `total`), `variables` (a SavedModel's file of
        variables: `tables`, `tower`, `vocabulary`, TensorFlow's `bookkeeping` of their names, and their
        sum `total`), `tables` as the model card has them by
        name (`table` and `first_order` in a model of `pep_tf.models`), `dense_bytes` (tables and
        tower stored whole), `bound_bytes` (of the tables), `missing`, `changed` and `added` (files
        against the card, by their sha256).

    Raises:
        DataError: nothing exported is there, or its card is damaged.
    """
    version = _version(resolve(path))
    card = read_card(version)
    sizes = {
        str(file.relative_to(version)): file.stat().st_size
        for file in sorted(version.rglob("*"))
        if file.is_file()
    }
    try:
        return _report(version, card, sizes)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{version / MODEL_CARD}: damaged ({error!r}); export the model again."
        ) from error


def is_whole(path: Path) -> bool:
    """Whether an exported model is there, with all of its files as they were written."""
    try:
        report = inspect(path)
    except DataError:
        return False
    return not any(report[kind] for kind in _OTHERWISE)


def _report(version: Path, card: dict[str, Any], sizes: dict[str, int]) -> dict[str, Any]:
    tables = _tables(card)
    main = [facts for name, facts in tables.items() if name != _FIRST_ORDER]
    values = sum(facts["bytes_by_part"]["values"] for facts in main)
    parts = {
        "values": values,
        "indices": sum(facts["bytes"] for facts in main) - values,
        "first_order": tables[_FIRST_ORDER]["bytes"] if _FIRST_ORDER in tables else 0,
        "tower": card["tower_bytes"],
        "vocabulary": card["vocabulary_bytes"],
    }
    lite = card["format"] == "litert"
    graph = sizes[MODEL] - sum(parts.values()) if lite else sizes["saved_model.pb"]
    total = sum(sizes.values())
    parts |= {"graph": graph, "other": total - graph - sum(parts.values()), "total": total}
    variables = {name: parts[name] for name in ("tower", "vocabulary")}
    variables = {"tables": sum(facts["bytes"] for facts in tables.values()), **variables}
    size = sizes.get(_VARIABLES, 0)
    variables |= {"bookkeeping": size - sum(variables.values()), "total": size}
    stored = {name: facts["sha256"] for name, facts in card["files"].items()}
    return {
        "version": str(version),
        "format": card["format"],
        "export_dtype": card["export_dtype"],
        "precision": card.get("precision", "float32"),  # not in cards of earlier versions
        "bytes": parts,
        "variables": None if lite else variables,
        "tables": tables,
        "dense_bytes": sum(facts["dense_bytes"] for facts in tables.values())
        + card["tower_bytes_float32"],
        "bound_bytes": sum(facts["bound_bytes"] for facts in tables.values()),
        "missing": sorted(set(stored) - set(sizes)),
        "changed": sorted(n for n in stored if n in sizes and sha256(version / n) != stored[n]),
        "added": sorted(set(sizes) - set(stored) - {MODEL_CARD}),
    }


def _tables(card: dict[str, Any]) -> dict[str, Any]:
    """Facts of the tables of a card by name; a model of `pep_tf.models` has two at most."""
    if "tables" in card:
        return dict(card["tables"])
    return {name: card[name] for name in ("table", _FIRST_ORDER) if card[name]}


def _version(path: Path) -> Path:
    if (path / MODEL_CARD).exists():
        return path
    if number := latest_version(path):
        return path / str(number)
    raise DataError(
        f"`PATH` must be an exported model, a folder with {MODEL_CARD} or with versions of one."
        f" Received: {path}"
    )


def render(report: dict[str, Any]) -> str:
    """The report as lines of text."""
    total, dense = report["bytes"]["total"], report["dense_bytes"]
    form = [report["format"], report["export_dtype"]]
    if report["precision"] != "float32":
        form.append(f"tower computes in {report['precision']}")
    lines = [f"{report['version']} ({', '.join(form)})"]
    for name, size in report["bytes"].items():
        lines.append(f"  {name:<12}{size:>15,} bytes {100 * size / total:6.1f} %")
    lines.append(f"  {'dense model':<12}{dense:>15,} bytes {100 * total / dense:6.2f} % of it here")
    if found := report["variables"]:
        parts = " + ".join(f"{name} {size:,}" for name, size in found.items() if name != "total")
        lines.append(f"  {_VARIABLES}: {found['total']:,} bytes = {parts}")
    for name, facts in report["tables"].items():
        kept = facts["nnz"] / (facts["rows"] * facts["dim"])
        over = facts["bytes"] / facts["bound_bytes"] if facts["bound_bytes"] else 1.0
        lines.append(
            f"{name}: {facts['rows']:,} x {facts['dim']}, {facts['nnz']:,} kept"
            f" ({100 * kept:.3g} %), {facts['bytes']:,} bytes = {over:.3f} x the bound of"
            f" {facts['bound_bytes']:,} (float32 values)"
            + (", found by the table's indices" if facts["format"] == _SHARED else "")
        )
    for kind in _OTHERWISE:
        lines += [f"WARNING: {kind} since the export: {name}" for name in report[kind]]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report; returns the exit code, 1 for files that are not those of the export."""
    command = Command("pep_tf.export.inspect", __doc__, arguments="PATH")

    def show(paths: list[str]) -> None:
        if len(paths) > 1:
            raise PepError(
                f"Give one PATH, an exported model or a version of one. Received: {paths}"
            )
        report = inspect(paths[0])
        print(render(report))
        if wrong := [name for kind in _OTHERWISE for name in report[kind]]:
            raise DataError(
                f"{report['version']} is not what was exported: see {', '.join(wrong)}. "
                "Export the model again."
            )

    return command.run(show, arguments)


if __name__ == "__main__":
    sys.exit(main())
