"""What pruning does to thresholds and entries, in the page on the method."""

import json
import pathlib

import matplotlib.pyplot as plt

import pep_tf

ROOT = pathlib.Path(pep_tf.__file__).parents[1]
kept = ROOT / "experiments" / "results" / "synthetic_criteo" / "history.json"
history = json.loads(kept.read_text(encoding="utf-8"))["prune"]
steps = [row["step"] for row in history]
figure, axes = plt.subplots(figsize=(6, 3))
axes.semilogy(steps, [row["nnz"] for row in history], color="C0")
axes.set_xlabel("step")
axes.set_ylabel("entries that are not zero (nnz)", color="C0")
thresholds = axes.twinx()
thresholds.plot(steps, [row["threshold"] for row in history], color="C1")
thresholds.set_ylabel("mean threshold s", color="C1")
figure.tight_layout()
