"""Every example in a docstring runs, and gives what it says."""

import doctest
import importlib
import os
import pathlib
import re
from unittest import mock

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import pep_tf

ROOT = pathlib.Path(pep_tf.__file__).parent
MODULES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in sorted(ROOT.rglob("*.py"))
    if re.search(r">>> (?!.*\+SKIP)", path.read_text(encoding="utf-8"))
]
# What a reader has imported: the public names, and the libraries by their usual ones.
IMPORTED = {"keras": keras, "np": np, "pd": pd, "tf": tf, "pep_tf": pep_tf}
IMPORTED |= {name: getattr(pep_tf, name) for name in pep_tf.__all__}


def public() -> dict[str, object]:
    """What the page of the API lists, by name: functions, classes, and methods of these."""
    found = {}
    text = (ROOT.parent / "docs" / "api.rst").read_text(encoding="utf-8")
    for name, members in re.findall(r"auto\w+:: (\S+)(?:\n +:members: (.*))?", text):
        owner, _, own = name.removeprefix("pep_tf.").rpartition(".")
        holder = importlib.import_module(f"pep_tf.{owner}") if owner else pep_tf
        found[name] = getattr(holder, own)
        for member in filter(None, members.split(", ")):
            if callable(method := getattr(found[name], member)):
                found[f"{name}.{member}"] = method
    return found


def test_every_public_name_has_an_example():
    assert len(public()) > 30
    assert not [name for name, thing in public().items() if ">>>" not in (thing.__doc__ or "")]


def of_a_ticket() -> dict[str, object]:
    """What the examples of a ticket's methods begin with: a ticket, and the data it was pruned on."""
    ids = np.random.default_rng(0).integers(0, 9, (200, 2))
    data = (ids, ids.sum(axis=1) % 2)
    model = pep_tf.build_model("fm", {"user": 9, "item": 9}, embedding_dim=4)
    [ticket] = pep_tf.prune(model, data, budgets=[10], method="magnitude", epochs=1)
    return {"ticket": ticket, "data": data}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    names = IMPORTED | (of_a_ticket() if name == pep_tf.Ticket.__module__ else {})
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    with mock.patch.dict(os.environ):  # which `use_memory_pool` changes
        found = doctest.testmod(module, extraglobs=names, optionflags=options)
    assert found.attempted
    assert not found.failed
