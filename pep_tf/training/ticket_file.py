"""Tickets on disk: one file of arrays and facts, without pickle."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from pep_tf.errors import TicketError
from pep_tf.training.kept_table import KeptTable
from pep_tf.training.skeleton import Skeleton
from pep_tf.training.state import load_state, save_state
from pep_tf.training.swap import Blueprint
from pep_tf.training.weights import joined

_FORMAT = 2
_SCALARS = ("budget", "nnz", "step", "forced", "facts", "budgets")
_WEIGHTS = ("initial", "trained")


def write_ticket(path: pathlib.Path, ticket: Any) -> None:
    """Writes a `Ticket`; raises RunError if it cannot."""
    arrays = {f"mask/{key}": table.bits for key, table in ticket.tables.items()}
    for kind in _WEIGHTS:
        arrays |= {f"{kind}/{name}": value for name, value in getattr(ticket, kind).items()}
    for layer, files in ticket.files.items():
        arrays |= {f"file/{layer}//{name}": content for name, content in files.items()}
    skeleton = ticket.blueprint.skeleton
    facts = {
        "pep_tf_ticket": _FORMAT,
        **{name: getattr(ticket, name) for name in _SCALARS},
        "tables": {
            key: {
                "dim": table.dim,
                "path": table.path,
                "config": table.config,
                "place": ticket.blueprint.places[key],
            }
            for key, table in ticket.tables.items()
        },
        "model_config": ticket.blueprint.config,
        "skeleton": None if skeleton is None else dataclasses.asdict(skeleton),
    }
    save_state(path, arrays, facts)


def read_ticket(path: pathlib.Path) -> dict[str, Any]:
    """The arguments of the `Ticket` in a file.

    Raises:
        TicketError: a missing, damaged or foreign file, or one that contradicts itself.
    """
    arrays, facts = load_state(path, "a ticket", TicketError)
    number = facts.pop("pep_tf_ticket", None) if isinstance(facts, dict) else None
    if number not in (1, _FORMAT):
        raise TicketError(f"{path} is not a ticket of format 1 to {_FORMAT} of this package.")
    try:
        if number == 1:
            arrays, facts = _from_format_1(arrays, facts)
        arguments = _arguments(arrays, facts)
        _check(arguments)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TicketError(f"{path} is damaged: {type(error).__name__} {error}") from error
    return arguments


def read_masks(path: pathlib.Path) -> tuple[dict[str, KeptTable], dict[str, Any]]:
    """What the ticket in a file keeps of each table, and its facts, without its weights."""
    _, facts = load_state(path, "a ticket", TicketError, only=())
    try:
        if facts["pep_tf_ticket"] == 1:
            names = ["mask_bits", "linear_bits"]
        else:
            names = [f"mask/{key}" for key in facts["tables"]]
        arrays, _ = load_state(path, "a ticket", TicketError, only=names)
        if facts["pep_tf_ticket"] == 1:
            arrays, facts = _from_format_1(arrays, facts)
        tables = _tables(arrays, facts)
        _check_masks(tables)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TicketError(f"{path} is damaged: {type(error).__name__} {error}") from error
    return tables, facts


def _arguments(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the `Ticket` of these arrays and facts."""
    known = {*_SCALARS, "tables", "model_config", "skeleton", "pep_tf_ticket"}
    if set(facts) - {"pep_tf_ticket"} != known - {"pep_tf_ticket"}:
        raise ValueError(f"facts that differ: {sorted(set(facts) ^ known)}")
    skeleton = facts["skeleton"]
    files: dict[str, dict[str, np.ndarray]] = {}
    for name, content in _below("file/", arrays).items():
        layer, file = name.split("//", 1)
        files.setdefault(layer, {})[file] = content
    return {
        **{name: facts[name] for name in _SCALARS},
        **{kind: _below(f"{kind}/", arrays) for kind in _WEIGHTS},
        "tables": _tables(arrays, facts),
        "files": files,
        "blueprint": Blueprint(
            None if skeleton is None else Skeleton.from_config(skeleton),
            facts["model_config"],
            {key: table["place"] for key, table in facts["tables"].items()},
        ),
    }


def _tables(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> dict[str, KeptTable]:
    return {
        key: KeptTable(arrays[f"mask/{key}"], table["dim"], table["path"], table["config"])
        for key, table in facts["tables"].items()
    }


def _check_masks(tables: dict[str, KeptTable]) -> None:
    for key, table in tables.items():
        rows, dim = table.config["input_dim"], table.config["output_dim"]
        found = (table.dim, table.bits.shape, str(table.bits.dtype))
        if found != (dim, (rows, -(-dim // 8)), "uint8"):
            raise ValueError(f"a mask of {found} for the table {key!r} of {(rows, dim)}")


def _check(arguments: dict[str, Any]) -> None:
    """Refuses a ticket whose parts do not fit together."""
    tables: dict[str, KeptTable] = arguments["tables"]
    _check_masks(tables)
    sizes = {sum(table.nnz for table in tables.values())}
    for kind in _WEIGHTS:
        sizes.add(sum(len(arguments[kind][table.weight]) for table in tables.values()))
    if sizes != {arguments["nnz"]}:
        raise ValueError(f"it says nnz={arguments['nnz']} but holds {sizes}")
    skeleton = arguments["blueprint"].skeleton
    if skeleton is None:
        return
    expected = {table.weight: [table.nnz] for table in tables.values()}
    for layer in skeleton.layers():
        if layer.table is None:
            expected |= {joined(layer.path, name): shape for name, shape in layer.weights.items()}
    for kind in _WEIGHTS:
        found = {name: list(value.shape) for name, value in arguments[kind].items()}
        # A scalar is stored with shape [1].
        if wrong := [n for n in {*expected, *found} if found.get(n) != (expected.get(n) or [1])]:
            raise ValueError(f"its {kind} weights {sorted(wrong)} are not those of its model")


def _from_format_1(
    arrays: dict[str, np.ndarray], facts: dict[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and facts of the format with one table and optional first-order weights."""
    facts = dict(facts)
    config = facts["model_config"]["config"]
    masks = {"embedding": arrays["mask_bits"]}
    if "linear_bits" in arrays:
        column = np.unpackbits(arrays["linear_bits"], count=len(arrays["mask_bits"]))
        masks["first_order"] = np.packbits(column[:, None], axis=1)
    layers = {name: config[name] for name in ("embedding", "first_order") if config.get(name)}
    pruned = {n for n, x in layers.items() if x["config"].get("pruning") == "threshold"}
    if set(masks) != pruned | {"embedding"}:
        raise ValueError(f"masks of {sorted(masks)} for the tables {sorted(pruned)}")
    names = {attribute: layer["config"]["name"] for attribute, layer in layers.items()}
    new = {f"mask/{names[attribute]}": bits for attribute, bits in masks.items()}
    for name, value in arrays.items():
        kind, _, rest = name.partition("/")
        if rest:
            layer, _, weight = rest.partition("/")
            kind = {"pruned": "trained"}.get(kind, kind)
            new[f"{kind}/{joined(names.get(layer, layer), weight) if weight else layer}"] = value
    facts["tables"] = {
        names[attribute]: {
            "dim": facts["dim"] if attribute == "embedding" else 1,
            "path": names[attribute],
            "config": layers[attribute]["config"],
            "place": [layers[attribute]["class_name"], names[attribute]],
        }
        for attribute in masks
    }
    del facts["dim"]
    return new, {**facts, "budgets": None, "skeleton": None}


def _below(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n.removeprefix(prefix): v for n, v in arrays.items() if n.startswith(prefix)}
