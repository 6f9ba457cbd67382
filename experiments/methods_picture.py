"""The picture of a study over methods: what each loses, by bytes and by entries."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from pep_tf.experiments import text
from pep_tf.experiments.report import drawing


def draw(lines: Sequence[dict[str, Any]], folder: pathlib.Path) -> None:
    """What is lost of the full table's test AUC, by bytes and by entries; hollow where at the cap of epochs.

    Differences are those of the same seeds, since methods may have been trained with more or fewer.
    """
    sheet, title = drawing.Sheet(folder, []), "Test AUC against bytes, and against numbers kept"
    with sheet.picture("frontier", title, 4.2, columns=2) as (picture, axes):
        picture.alt = title
        ways = (
            ("table_bytes", "bytes", text.short_bytes),
            ("numbers", "numbers", text.short),
        )
        for axis, (name, label, form) in zip(np.ravel(axes), ways, strict=True):
            axis.set_xscale("log")
            for index, method in enumerate(dict.fromkeys(line["method"] for line in lines)):
                own = sorted((x for x in lines if x["method"] == method), key=lambda x: x[name])
                at, auc = [x[name] for x in own], [x["difference_to_full"] for x in own]
                colour = drawing.series_colour(index)
                style: Any = {
                    "color": colour,
                    "marker": drawing.MARKERS[index % len(drawing.MARKERS)],
                }
                axis.plot(at, auc, label=method if name == "numbers" else None, **style)
                for x, y, line in zip(at, auc, own, strict=True):
                    face = drawing.colour("paper") if line["capped"] else colour
                    axis.plot(x, y, markerfacecolor=face, **style)
            drawing.log_axis(axis.xaxis, form)
            axis.set_xlabel(
                f"{label} of table and first-order weights" if label == "bytes" else "numbers kept"
            )
        np.ravel(axes)[0].set_ylabel("test AUC, less that of the full table")
        np.ravel(axes)[0].figure.set_size_inches(9, 4.2)
        drawing.legend(np.ravel(axes)[0], 5)
