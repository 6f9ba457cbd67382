"""The command that repeats a run."""

import shlex

import pytest

from pep_tf.experiments.environment import command, environment


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["--dataset=x", "--run_dir=a"], ["--dataset=x"]),
        (["--run_dir", "a", "--seed=2"], ["--seed=2"]),
        (["--resume", "--l2=0.1", "--noresume"], ["--l2=0.1"]),
        (["-run_dir=a", "--data_dir=a b'c"], ["--data_dir=a b'c"]),
    ],
)
def test_leaves_out_where_the_run_was_kept(arguments, kept):
    assert shlex.split(command(arguments)) == ["python", "-m", "pep_tf.experiments.main", *kept]


def test_names_machine_and_versions():
    facts = environment(["--seed=1"])
    assert facts["machine"]["cores"] >= 1
    assert facts["machine"]["memory"] > 1e8
    assert {"pep_tf", "tensorflow", "keras", "numpy", "python"} == set(facts["versions"])
    assert facts["command"].endswith("--seed=1")
