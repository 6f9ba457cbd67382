"""Every example in a docstring runs, and gives what it says."""

import doctest
import importlib
import pathlib
import re

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


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.testmod(module, extraglobs=IMPORTED, optionflags=options)
    assert found.attempted
    assert not found.failed
