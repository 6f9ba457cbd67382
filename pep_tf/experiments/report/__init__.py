"""The page of a run: `report.html`, with its figures as PNG beside it."""

from pep_tf.experiments.report.write import write_report as write_report
