"""Workers on this machine: each is the same command as a process of its own."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence

from pep_tf.distributed.cluster import VARIABLE, local_cluster
from pep_tf.distributed.join import LOST, leave

FOLDER = "PEP_TF_LAUNCH_DIR"  # where a worker leaves what the process that started it must know
_RUN_DIR = "run_dir"
_ENDS, _KILLED = 15.0, 5.0  # seconds that the others have once a worker is gone


def launch(module: str, arguments: Sequence[str], workers: int, restarts: int) -> int:
    """Runs a command on several workers; returns its exit code.

    Worker 0 has the terminal. What another one says of its end is told if it was the first to end.

    Args:
        module: as `python -m` takes it.
        arguments: of each worker.
        workers: how many.
        restarts: how often all of them are started again, from the last checkpoint, when one is lost.
    """
    for left in range(restarts, -1, -1):
        with tempfile.TemporaryDirectory(prefix="pep_tf-") as folder:
            code, told = _Workers(module, arguments, workers, pathlib.Path(folder)).wait()
            path = pathlib.Path(folder, _RUN_DIR)
            begun = path.read_text("utf-8") if path.exists() else None
        if told:
            print(told, file=sys.stderr)
        if code in (0, 1, 128 + signal.SIGINT) or not left:
            return code
        print(f"starts {workers} workers again; {left - 1} restarts are left", file=sys.stderr)
        if begun:
            arguments = [*arguments, f"--run_dir={begun}", "--resume"]
    raise AssertionError("the last attempt returns")


def note_run_dir(path: pathlib.Path) -> None:
    """Tells the process that started this one, if any, where the run is kept."""
    if folder := os.environ.get(FOLDER):
        pathlib.Path(folder, _RUN_DIR).write_text(str(path), "utf-8")


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone, however it went."""
    if FOLDER not in os.environ:
        return

    def watch() -> None:
        while os.read(0, 1):  # whose other end is the parent's
            pass
        leave(LOST)

    threading.Thread(target=watch, daemon=True).start()


class _Workers:
    """The processes of one attempt."""

    def __init__(
        self, module: str, arguments: Sequence[str], workers: int, folder: pathlib.Path
    ) -> None:
        self._logs = [folder / f"worker{rank}.log" for rank in range(workers)]
        self._processes = []
        for rank, config in enumerate(local_cluster(workers)):
            with self._logs[rank].open("wb") as log:
                self._processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", module, *arguments],
                        env={**os.environ, VARIABLE: config, FOLDER: str(folder)},
                        stdin=subprocess.PIPE,
                        stdout=None if rank == 0 else subprocess.DEVNULL,
                        stderr=None if rank == 0 else log,
                    )
                )

    def wait(self) -> tuple[int, str]:
        """Exit code of all together, and what is to be told of it."""
        try:
            first = self._first_to_fail()
            if first is None:
                return 0, ""
            self._end(_ENDS)
            return self._code_of(first)
        except KeyboardInterrupt:
            self._end(_ENDS)
            return 128 + signal.SIGINT, ""
        finally:
            self._end(0)

    def _first_to_fail(self) -> int | None:
        while True:
            codes = [process.poll() for process in self._processes]
            failed = [rank for rank, code in enumerate(codes) if code]
            if failed:
                time.sleep(0.5)  # one that knows why may be about to end, too
                codes = [process.poll() for process in self._processes]
                failed = [rank for rank, code in enumerate(codes) if code]
                return min(failed, key=lambda rank: (codes[rank] == LOST, rank))
            if all(code == 0 for code in codes):
                return None
            time.sleep(0.1)

    def _code_of(self, rank: int) -> tuple[int, str]:
        code = self._processes[rank].returncode
        if code < 0:
            name = signal.Signals(-code).name
            return (
                128 - code,
                f"error: worker {rank} was ended by {name}; the others were ended, too.",
            )
        if rank == 0:
            return code, ""  # which has told
        lines = self._logs[rank].read_text("utf-8", "replace").splitlines()
        told = [line for line in lines if line.startswith("error: ")] or lines[-20:]
        return code, "\n".join([f"worker {rank}:", *told] if len(told) > 1 else told)

    def _end(self, seconds: float) -> None:
        """Gives processes some time to end by themselves, then ends them."""
        for wait, end in ((seconds, subprocess.Popen.terminate), (_KILLED, subprocess.Popen.kill)):
            limit = time.monotonic() + wait
            while time.monotonic() < limit and any(p.poll() is None for p in self._processes):
                time.sleep(0.05)
            for process in self._processes:
                if process.poll() is None:
                    end(process)
        for process in self._processes:
            process.wait()
