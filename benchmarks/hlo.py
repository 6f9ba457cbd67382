"""What XLA made of a compiled step: how many kernels it launches, by its own text of the program."""

import collections
import os
import pathlib
import re
import tempfile

_PROGRAM = "program"  # the compiled part of `pep_tf.training.step`
_COUNTED = ("fusion", "dot", "sort", "custom-call", "while", "conditional", "scatter")


def dump_programs() -> pathlib.Path:
    """Has XLA write what it compiles to a folder; call it before the first tensor of the process."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hlo-"))
    own = f"--xla_dump_to={folder} --xla_dump_hlo_module_re=.*{_PROGRAM}.*"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {own}".strip()
    return folder


def counted(folder: pathlib.Path) -> list[dict[str, int]]:
    """Of each program: top-level instructions of its optimized form that are work, by kind."""
    texts = sorted(folder.glob("*after_optimizations.txt"))
    return [_counted(path.read_text("utf-8")) for path in texts]


def _counted(text: str) -> dict[str, int]:
    entry = text[text.index("\nENTRY ") :]
    kinds = re.findall(r"^\s+(?:ROOT )?%?[\w.-]+ = .*?\s([a-z][a-z-]*)\(", entry, re.MULTILINE)
    found = collections.Counter(kinds)
    return {kind: found[kind] for kind in _COUNTED}
