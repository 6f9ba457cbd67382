import os
import subprocess
import sys

import pytest

from pep_tf.notices import lines_without


def test_only_the_line_is_left_out(capfd):
    with lines_without("no driver"):
        os.write(2, b"one\nE0000 no driver (303)\ntwo\n")
    assert capfd.readouterr().err == "one\ntwo\n"
    os.write(2, b"no driver\n")
    assert capfd.readouterr().err == "no driver\n"


def test_lines_are_written_after_an_error(capfd):
    def fail() -> None:
        with lines_without("no driver"):
            os.write(2, b"one\n")
            raise ValueError("off")

    with pytest.raises(ValueError, match="off"):
        fail()
    assert capfd.readouterr().err == "one\n"


@pytest.mark.parametrize(
    ("program", "level"), [("mine.py", "None"), ("/usr/bin/pep-tf", "2"), ("-m", "2")]
)
def test_only_commands_leave_out_what_tensorflow_tells(program, level):
    name = "TF_CPP_MIN_LOG_LEVEL"
    env = {key: value for key, value in os.environ.items() if key != name}
    code = (
        f"import os, sys; sys.argv, sys.modules['tensorflow'] = [{program!r}], None\n"
        "try: import pep_tf\n"
        f"except ImportError: print(os.environ.get({name!r}))"  # what TensorFlow would find
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{level}\n"
