"""The worker's side: calls to the chief that neither hang nor hide why they fail."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_client import OracleClient

from pep_tf.errors import RunError
from pep_tf.tuning.chief import TUNER_ID, address
from pep_tf.tuning.durable import Durable

_POLL = 1.0  # seconds between two requests of a worker for which there is nothing yet
_AGAIN = 0.5  # seconds between two attempts at a chief that went away in the middle of a call
# gRPC by itself waits for up to two minutes between two attempts to connect.
_RECONNECT = [
    (f"grpc.{name}_reconnect_backoff_ms", ms)
    for name, ms in (("initial", 200), ("min", 1000), ("max", 1000))
]


class LostTrial(Exception):
    """The chief has given the trial to another worker."""


class ChiefClient(OracleClient):
    """An oracle on another machine or in another process.

    KerasTuner's client waits for an hour, finds a chief that was restarted only minutes later, gives up
    when that happens during a call, and polls without a pause while there is nothing to do.

    Args:
        oracle: the local one, for what does not change.
        chief_timeout: seconds to wait for an answer.
    """

    def __init__(self, oracle: Durable, chief_timeout: float) -> None:
        super().__init__(oracle)
        channel = grpc.insecure_channel(address(), options=_RECONNECT)
        stub = protos.get_service_grpc().OracleStub(channel)
        self.stub: Any = _PatientStub(stub, self.tuner_id, chief_timeout)

    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial; waits a moment where there is none yet."""
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.IDLE:
            time.sleep(_POLL)
        trial.hyperparameters.ensure_active_values()
        return trial

    @contextlib.contextmanager
    def alive(self, trial_id: str, every: float) -> Iterator[threading.Event]:
        """Gives signs of life for a trial, from a thread of its own.

        Args:
            trial_id: the trial under way.
            every: seconds between two.

        Returns:
            An event that is set once the trial has been given to another worker.
        """
        lost, done = threading.Event(), threading.Event()

        def tell() -> None:
            while not done.wait(every):
                try:
                    self.get_trial(trial_id)
                except LostTrial:
                    lost.set()
                    return
                except RunError:
                    continue  # the call that reports the trial will say so

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield lost
        finally:
            done.set()


class _PatientStub:
    """Calls of a gRPC stub, repeated while the chief restarts, with its errors in words."""

    def __init__(self, stub: Any, tuner_id: str, timeout: float) -> None:
        self._stub, self._timeout = stub, timeout
        self._metadata = ((TUNER_ID, tuner_id),)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)

        def call(request: Any, **_: Any) -> Any:
            deadline = time.monotonic() + self._timeout
            while True:
                left = max(0.0, deadline - time.monotonic())
                try:
                    return method(
                        request, wait_for_ready=True, timeout=left, metadata=self._metadata
                    )
                except grpc.RpcError as error:
                    self._judge(error, left)
                    time.sleep(_AGAIN)

        return call

    def _judge(self, error: Any, left: float) -> None:
        """Returns if the call is worth another attempt."""
        code = error.code()
        if code == grpc.StatusCode.FAILED_PRECONDITION:
            raise LostTrial(error.details())
        if code == grpc.StatusCode.UNAVAILABLE and left > _AGAIN:
            return
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise RunError(
                f"The chief at {address()} has not answered for {self._timeout:,g} s. Start it "
                "with --resume, then this worker; finished trials are kept. --chief_timeout changes "
                "how long to wait."
            ) from None
        raise RunError(f"The chief at {address()} failed: {error.details()}") from error
