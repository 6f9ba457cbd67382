"""A chief or a worker of a quick search, as a process of its own."""

import json
import os
import pathlib
import sys
import time

from pep_tf.errors import PepError
from pep_tf.tuning.tuner import Tuner
from tests.tuning.quick_search import oracle, quick, table


def start(environment: dict[str, str], told: str, *arguments: str) -> None:
    """What a new process does; what it prints goes to the files `told` with `.out` and `.err`."""
    os.environ.update(environment)
    with open(f"{told}.out", "w") as sys.stdout, open(f"{told}.err", "w") as sys.stderr:
        code = main(*arguments)
    sys.exit(code)


def main(folder: str, algorithm: str, trials: str, seconds: str, timeouts: str) -> int:
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)

    def work(task):
        with open(path / "begun.txt", "a") as file:
            file.write(f"{task.trial_id}\n")
        time.sleep(float(seconds))
        outcome = quick(task)
        with open(path / "ended.txt", "a") as file:
            file.write(f"{task.trial_id} {json.dumps(task.hp.values, sort_keys=True)}\n")
        return outcome

    made = oracle(algorithm, int(trials))
    chief_timeout, made.worker_timeout = map(float, timeouts.split(","))
    note = lambda message: print(message, flush=True)  # noqa: E731
    try:
        Tuner(made, path, work, chief_timeout=chief_timeout, note=note).search()
    except PepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if made.trials:
        (path / "table.json").write_text(json.dumps(table(made)))
    return 0
