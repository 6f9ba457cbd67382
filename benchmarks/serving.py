"""Size, memory and latency of a served ticket, packed against dense; prints one JSON object.

    python -m benchmarks.serving --num_features=2086936 --dim=64 --kept=0.01

The model is a DeepFM 400-400-400 (or `--model=fm`) with a made-up ticket (`MadeUpTicket`) and
first-order weights pruned to the same fraction. `dense` stores and looks up every number. All forms
run in sessions of the loader that TF Serving uses; memory is measured in fresh processes.

The latency of each form is that of the signature `ids`, ids drawn at training frequency. Beside it, of
dense and packed alone: `uniform_ids`; `serving_default`, Criteo's raw columns through the hash (which
deals the frequent values out at random, to rows that are mostly empty); `fm`, the same with an FM; and
`lookup`, the embeddings alone, without first-order weights and tower.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.flags import FlagValues

from benchmarks.serving_latency import Inputs, latency
from benchmarks.serving_model import FirstNumber, MadeUpTicket
from pep_tf.command_line import Command
from pep_tf.data.schema import FeatureSchema
from pep_tf.errors import PepError
from pep_tf.export.model_card import read_card
from pep_tf.export.saved_model import export_saved_model
from pep_tf.models import build_model, options_among

FORMS: dict[str, dict[str, Any]] = {
    "dense": {"packed": False},
    "packed": {},
    "packed_float16": {"dtype": "float16"},
    "packed_int8": {"dtype": "int8"},
    "packed_int4": {"dtype": "int4"},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    command = Command("benchmarks.serving", __doc__)
    command.whole("num_features", 2_086_936, "rows of the table, N", least=1)
    command.whole("dim", 64, "width of the table, d", least=1)
    command.real("kept", 0.01, "fraction of entries kept", least=0, most=1)
    command.real("steepness", 1.5, "how much more the frequent features keep, see MadeUpTicket")
    command.choice(
        "granularity",
        "feature_dim",
        ("feature_dim", "field_dim"),
        "field_dim: all rows of a field keep the same columns",
    )
    command.choice("model", "deepfm", ("deepfm", "fm"), "the tower")
    command.real("seconds", 15, "of latency for each batch size", least=0)
    command.choice(
        "measure",
        "all",
        ("all", "sizes", "latency"),
        "sizes alone take no time, latency alone is that of the signature `ids`",
    )
    command.path(
        "folder", None, "where the exported models are put for now", shown="a temporary one"
    )
    command.whole("seed", 0, "of every draw", least=0)
    return command.run(lambda _: _run(command), arguments)


def _run(command: Command) -> None:
    """Exports, measures, prints."""
    flags = command.values
    if "seconds" in command.given() and flags.measure == "sizes":
        raise PepError("`seconds` has no effect with --measure=sizes.")
    size, seed = (flags.num_features, flags.dim), flags.seed
    ticket = MadeUpTicket.of(*size, flags.kept, flags.steepness, seed, flags.granularity)
    settings = {name: flags[name].value for name in flags if name != "folder"}
    with tempfile.TemporaryDirectory(dir=flags.folder) as folder:
        versions, tiny = _export(ticket, flags, Path(folder))
        report = _sizes(versions) | {"flags": settings, "tensorflow": tf.__version__}
        if flags.measure != "sizes":
            rng = np.random.default_rng([flags.seed, 4])

            def draw(rows: int) -> Inputs:
                return {"ids": ticket.ids(rows, rng)}

            report |= latency(versions, draw, flags.seconds)
        if flags.measure == "all":
            memory = _memory(ticket, versions, tiny, Path(folder), flags.seed)
            report |= {name: memory[name] | report[name] for name in FORMS}
            report |= _more_latency(ticket, versions, flags, Path(folder), draw)
    print(json.dumps(report, indent=1))


def _export(
    ticket: MadeUpTicket, flags: FlagValues, folder: Path
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Every form of the ticket, and the same of a table with two rows per field."""
    # A tower does not depend on N: it is built for a vocabulary of one.
    ones = dict.fromkeys(ticket.schema.names, 1)
    options = options_among(flags.model, {"mlp_widths": (400, 400, 400)})
    tower = build_model(flags.model, ones, embedding_dim=flags.dim, pruning="none", **options)
    first_order = ticket.first_order(flags.kept)
    small = dataclasses.replace(ticket, schema=FeatureSchema.of(dict.fromkeys(ones, 2)))
    rows = small.schema.num_features
    versions, tiny = {}, {}
    for name, how in FORMS.items():
        versions[name] = export_saved_model(
            folder / name,
            schema=ticket.schema,
            table=ticket.blocks(),
            first_order=first_order,
            tower=tower,
            transform=ticket.transform(),
            **how,
        )
        tiny[name] = export_saved_model(
            folder / f"tiny_{name}",
            schema=small.schema,
            table=_sparse_rows(rows, ticket.dim),
            first_order=_sparse_rows(rows, 1),
            tower=tower,
            transform=small.transform(),
            **how,
        )
    return versions, tiny


def _more_latency(
    ticket: MadeUpTicket,
    versions: dict[str, Path],
    flags: FlagValues,
    folder: Path,
    draw: Callable[[int], Inputs],
) -> dict[str, Any]:
    """What has no bar, of dense and packed."""
    both = {name: versions[name] for name in ("dense", "packed")}
    rng = np.random.default_rng([flags.seed, 5])
    report = {
        "uniform_ids": latency(
            both, lambda rows: {"ids": ticket.ids(rows, rng, uniform=True)}, flags.seconds
        ),
        "serving_default": latency(
            both, lambda rows: ticket.raw(rows, rng), flags.seconds, "serving_default"
        ),
    }
    ones = dict.fromkeys(ticket.schema.names, 1)
    fm = build_model("fm", ones, embedding_dim=flags.dim, pruning="none")
    for name, tower, weights in (
        ("fm", fm, ticket.first_order(flags.kept)),
        ("lookup", FirstNumber(), None),
    ):
        exported = {
            form: export_saved_model(
                folder / f"{name}_{form}",
                schema=ticket.schema,
                table=ticket.blocks(),
                first_order=weights,
                tower=tower,
                **FORMS[form],
            )
            for form in both
        }
        report[name] = latency(exported, draw, flags.seconds)
    return report


def _sparse_rows(rows: int, dim: int) -> np.ndarray:
    """A small table with empty rows and half-filled ones, which has the decoder of a large one."""
    filled = (np.arange(rows)[:, None] % 3 == 0) & (np.arange(dim) < (dim + 1) // 2)
    return filled.astype(np.float32)


def _sizes(versions: dict[str, Path]) -> dict[str, Any]:
    card = read_card(versions["packed"])
    whole = {name: _folder_bytes(version) for name, version in versions.items()}
    return {
        "bound_bytes": card["table"]["bound_bytes"],
        "packed_bytes": card["table"]["bytes"],
        "packed_over_bound": card["table"]["bytes"] / card["table"]["bound_bytes"],
        "dense_table_bytes": card["table"]["dense_bytes"],
        "first_order_bytes": card["first_order"]["bytes"],
        "tower_bytes": card["tower_bytes"],
        "saved_model_bytes": whole["packed"],
        "dense_saved_model_bytes": whole["dense"],
        "of_dense": {name: size / whole["dense"] for name, size in whole.items()},
        "bytes_by_part": card["table"]["bytes_by_part"],
        "format": card["table"]["format"],
    }


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _memory(
    ticket: MadeUpTicket,
    versions: dict[str, Path],
    tiny: dict[str, Path],
    folder: Path,
    seed: int,
) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng([seed, 3])
    batches, zeros = folder / "batches.npy", folder / "zeros.npy"
    np.save(batches, np.stack([ticket.ids(1024, rng) for _ in range(100)]))
    np.save(zeros, np.zeros((100, 1024, ticket.schema.num_fields), np.int32))
    memory = {}
    for name in FORMS:
        whole = _child(tiny[name], versions[name], batches)
        without = _child(tiny[name], tiny[name], zeros)
        memory[name] = {
            "load_rss_mb": round(whole["load"] - without["load"], 2),
            "activations_mb": round(whole["peak"] - whole["load"], 2),
            "peak_mb": round(whole["peak"] - without["load"], 2),
        }
    return memory


def _child(warm: Path, model: Path, batches: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.serving_memory"]
    command += [str(warm), str(model), str(batches)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
