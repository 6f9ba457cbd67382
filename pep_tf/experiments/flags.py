"""The flags of a run: one for each field of `Config`, and those of the data set, below headings."""

import dataclasses
from collections.abc import Collection
from typing import Any

from pep_tf.command_line import Command
from pep_tf.experiments.config import LINEAR_AND_MORE, Config, choices
from pep_tf.experiments.effects import models_taking
from pep_tf.numbers import type_name

_LINEAR = ", ".join(LINEAR_AND_MORE)
DATA, HOW = "Data", "How to run"
GROUPS = {
    DATA: {
        "dataset": "movielens (MovieLens-1M, or the small set where it cannot be had), movielens-1m, "
        "movielens-small, movielens-100k, -10m, -20m, -25m, -32m, criteo, avazu, synthetic-criteo, "
        "synthetic-avazu; or data of your own: a table "
        "(.csv, .tsv, .gz, .parquet) beside --label and --features, a Python file that declares one, or "
        "the folder of a store that `pep-tf prepare table` wrote",
        "features": "MovieLens-1M: 'paper' (7 fields) or 'with_ids' (9 fields, user and movie as well); a "
        "table: fields and kinds, user=vocabulary,item=hash:9999,price=bins:32,tags=multi:|",
        "seed": "of split, initial weights, shuffling and dropout; a prepared store has its split already",
        "seeds": "repeat the run over this many seeds, from --seed on, a folder each below the run's; a "
        "prepared store, or a table that is split by time or a column, has one split for all of them, other "
        "data one per seed",
    },
    "Model": {
        "model": "the model",
        "embedding_dim": "embedding dimension before pruning",
        "mlp_widths": "hidden units of the MLP; click logs: 400,400,400",
        "dropout": "dropout of the MLP",
        "attention_dropout": "dropout of the attention weights; click logs: 0",
        "cross_layers": "number of cross layers",
        "cross_rank": "rank of the matrices of the cross layers, if not full",
        "baseline_dims": "embedding dimensions of further uniform baselines to compare with",
        "precision": "arithmetic of the tower: float32, bfloat16, or tf32: float32 whose matrix products a GPU "
        "rounds; weights and tables stay float32",
    },
    "Thresholds": {
        "method": "how a smaller table is chosen: by thresholds that are trained (pep); the largest entries of "
        "the trained table (magnitude), or of the ticket before (magnitude_rounds); the first entries of each "
        "row of it, rotated (prefix); columns of fields by a search of widths (darts); at random "
        "(random); or small tables that rows are made of, by hashing (hash), quotient and "
        "remainder (qr), with widths by the size of a field (mde), or by codes (mgqe). For fm with budgets in "
        "bytes alone: prefix, with --export_dtype=lsq4 and --ticket_init=trained, unless you give --method, "
        "--export_dtype or settings of thresholds",
        "granularity": "what has a threshold of its own: the table (global), a dimension, a feature, an "
        "entry (feature_dim), a field, a dimension of a field (field_dim)",
        "threshold_init": "thresholds at the start, or 'auto': from the steps available; the small "
        "MovieLens set and tables: auto; click logs: auto, or -150 from 10 million training rows on",
        "threshold_learning_rate": "learning rate of the thresholds, if not the common one",
        "threshold_l2": "L2 of the thresholds, if not the common one",
        "threshold_target": "value that L2 pulls thresholds to; 0 is the published method, which stalls "
        "near 10 % of the entries",
    },
    "Tickets": {
        "budgets": "entries to keep: counts (26425), fractions (0.1), percentages (10%); or bytes of the stored "
        "tables (30KB, 3%bytes)",
        "prune_linear": f"prune the first-order weights ({_LINEAR}) too: budgets then cover both tables, "
        "N x (d + 1) entries",
        "ticket_init": "retrain from the original weights, from those at the cut (trained), or from random ones",
        "retrain_learning_rate": "learning rate of the retraining, if not the common one",
        "no_retrain": "report the tickets as they were cut, without retraining",
    },
    "Training": {
        "batch_size": "rows per step",
        "learning_rate": "learning rate of Adam",
        "l2": "coupled L2 of all parameters",
        "epochs": "epochs at most, of the baseline and of each ticket; click logs, and tables from a "
        "million training rows on: 10",
        "patience": "epochs without a better validation AUC before training stops; click logs, and tables "
        "from a million training rows on: 2",
        "prune_epochs": "epochs at most of pruning; budgets not reached by then are cut; the small "
        "MovieLens set, and smaller tables: 40; click logs, and tables from a million training rows on: 10",
        "updates": "rowwise: large tables only at the rows of the batch, the same up to a small error; "
        "dense: the paper's update of every entry at each step",
        "dense_below": "rowwise: tables of fewer entries are updated densely all the same; by default what "
        "costs less: 2^20 on a CPU, 2^25 on a GPU",
        "table_device": "where tables and their moments are kept: gpu, cpu (the GPU receives the rows of "
        "a batch), or auto: on the GPU if there is one and they fit",
        "deterministic": "the same command gives the same bits; off it is faster",
        "check_every": "steps between two reports of the loss, while pruning also of the non-zeros",
        "checkpoint_every": "steps between two checkpoints",
    },
    "Export": {
        "export_dtype": "how an export stores the surviving numbers; lsq8 and lsq4 are int8 and int4 that "
        "tickets are retrained with, by steps that are learned",
        "first_order_dtype": f"that of the first-order weights ({_LINEAR}), if it is another",
        "export_format": "savedmodel (TF Serving), litert (a .tflite), both, none",
        "export_keys": "write the tickets for other systems as well, by key: one safetensors file per field",
    },
}


def define(command: Command, *, without: Collection[str] = ()) -> None:
    """Defines the flags of `Config`, but for some, and those of the data set.

    The defaults shown are those of `Config`; what differs by data set is in the text.
    """
    fields = {field.name: field for field in dataclasses.fields(Config)}
    for title, texts in GROUPS.items():
        command.heading(title)
        for name, text in texts.items():
            if name not in without:
                models = models_taking(name)
                define_field(
                    command, fields[name], f"{', '.join(models)}: {text}" if models else text
                )
        if title == DATA:
            _define_data(command)


def define_field(command: Command, field: dataclasses.Field[Any], text: str) -> None:
    """Defines the flag of a dataclass's field, by its type and its default."""
    name, kind = field.name, type_name(field)
    default: Any = field.default
    if known := choices().get(name):
        command.choice(name, default, [word for word in known if word], text)
    elif kind == "bool":
        command.switch(name, default, text)
    elif kind in ("int", "int | None"):
        command.whole(name, default, text)
    elif kind in ("float", "float | None"):
        command.real(name, default, text)
    elif kind == "tuple[int, ...]":
        command.wholes(name, default, text)
    elif kind == "tuple[str, ...]":
        command.items(name, default, text, counts=True)
    else:
        command.text(name, default, text)


def _define_data(command: Command) -> None:
    command.path(
        "data_dir",
        None,
        "MovieLens: folder with ratings.dat, users.dat, movies.dat, or a prepared store; click logs: a "
        "prepared store, or the raw file itself",
        exists=True,
    )
    command.text(
        "label", None, "a table: a column of 0 and 1, or a column and a threshold: 'rating > 3'"
    )
    command.text(
        "split",
        None,
        "a table: random, hash, hash:COLUMN, time:COLUMN, or column:COLUMN, which has train, validation "
        "or test",
        shown="random",
    )
    command.text("weight", None, "a table: a column of how much each row counts, 0 or more")
    command.text("drop", None, "a table: rows to leave out, by a value: rating=3")
    command.whole("rows", None, "synthetic data: rows of all splits together", shown="1000000")
    command.whole(
        "num_features",
        None,
        "synthetic data: features N of all fields together",
        shown="2000000",
    )
    command.choice(
        "on_bad_row",
        None,
        ("error", "skip"),
        "raw click logs: stop, or leave it out",
        shown="error",
    )
    command.choice(
        "hour",
        None,
        ("raw", "parts"),
        "raw Avazu: the hour as it is, or hour of day and weekday",
        shown="raw",
    )
    command.switch(
        "verify",
        False,
        "hash a prepared store even if size, times and inode of its files are the same",
    )


def given(command: Command) -> dict[str, Any]:
    """The fields of `Config` that flags have set."""
    names = {field.name for field in dataclasses.fields(Config)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in command.given().items()
        if name in names
    }


def data_options(command: Command) -> dict[str, Any]:
    """The flags that go to the reader of the data set, those that were given."""
    names = (
        "label",
        "split",
        "weight",
        "drop",
        "rows",
        "num_features",
        "on_bad_row",
        "hour",
        "verify",
    )
    return {name: value for name, value in command.given().items() if name in names}
