"""The page of a run: `report.html`, with its figures as PNG beside it."""

# ruff: noqa: E402 - the imports below are those of packages that may be missing.
from pep_tf.extras import require

require("the page of a run", "data", "report")

from pep_tf.experiments.report.write import write_report as write_report
