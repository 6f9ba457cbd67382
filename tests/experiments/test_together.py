"""What workers of one command must have in common; the others are stood in for."""

import types

import pytest

from pep_tf.errors import RunError
from pep_tf.experiments import together
from pep_tf.experiments.config import Config


def others(change=lambda told: told, **own):
    """The group of a worker whose fellow tells the same but for a change."""
    gather = lambda told: [told, change(told)]  # noqa: E731
    leader = lambda told: told  # noqa: E731
    group = {"size": 2, "rank": 0, "tables": "auto", "shards": lambda rows: True}
    calls = {"gather_objects": gather, "from_leader": leader, "wait": lambda: None}
    return types.SimpleNamespace(**group | calls | own)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tensorflow", "tensorflow: other, there 2."),
        ("code", "code: other, there "),
        ("--learning_rate", "--learning_rate: other, there 0.01"),
        ("data: rows", "data: rows: other, there 7"),
        ("--tables", "--tables: other, there auto"),
    ],
)
def test_a_worker_that_is_not_like_the_first(name, said):
    group = others(lambda told: told | {name: "other"})
    with pytest.raises(RunError, match=f"Worker 1 differs from worker 0 in {said}"):
        together.compare(group, {"learning_rate": 0.01}, {"rows": 7})
    together.compare(others(), {"learning_rate": 0.01}, {"rows": 7})


def test_a_folder_that_a_worker_does_not_see(tmp_path):
    together.check_folder(others(), tmp_path)
    with pytest.raises(RunError, match="must lie on a file system that all workers see. Worker 1"):
        together.check_folder(others(lambda told: ""), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"batch_size": 1}, "`batch_size` must be at least the number of workers, 2. Received: 1"),
        ({"method": "hash"}, "--method=hash needs whole tables on each worker"),
    ],
)
def test_what_several_workers_cannot_train(config, said):
    with pytest.raises(RunError, match=said):
        together.refuse(others(), Config(**config), 100)
