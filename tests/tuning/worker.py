"""A chief or a worker of a quick search, as a process: `python -m tests.tuning.worker <folder> ...`."""

import json
import pathlib
import sys
import time

from pep_tf.errors import PepError
from pep_tf.tuning.tuner import Tuner
from tests.tuning.quick_search import oracle, quick, table


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


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
