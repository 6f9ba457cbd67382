"""The chief: serves an oracle to the workers, by KerasTuner's protocol, until all trials have ended."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from pep_tf.errors import PepError, RunError
from pep_tf.tuning.durable import Durable

TUNER_ID = "tuner-id"  # name of the metadata by which a worker says who it is
_THREADS = 4  # a worker's sign of life must not wait for another's next trial
_LOOK_EVERY = 0.5  # seconds
_GONE = 10.0  # seconds: an idle worker polls, so that one which is silent for longer is gone


def address() -> str:
    """Where the chief is, from KerasTuner's environment variables."""
    return f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"


class _Servicer(OracleServicer):
    """KerasTuner's servicer, which also takes signs of life and refuses workers that lost a trial."""

    error: PepError | None = None  # what ended a call, and ends the chief

    def CreateTrial(self, request: Any, context: Any) -> Any:
        with self._noticing():
            return super().CreateTrial(request, context)

    def GetTrial(self, request: Any, context: Any) -> Any:
        self._only_its_owner(request.trial_id, context)
        return super().GetTrial(request, context)

    def UpdateTrial(self, request: Any, context: Any) -> Any:
        self._only_its_owner(request.trial_id, context)
        return super().UpdateTrial(request, context)

    def EndTrial(self, request: Any, context: Any) -> Any:
        tuner_id = _tuner_id(context)
        # A report on a trial that has ended, or that another worker has, changes nothing.
        if self.oracle.heard(tuner_id, request.trial.trial_id):
            with self._noticing():
                return super().EndTrial(request, context)
        return protos.get_service().EndTrialResponse()

    @contextlib.contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except PepError as error:
            self.error = error
            raise

    def _only_its_owner(self, trial_id: str, context: Any) -> None:
        if not self.oracle.heard(_tuner_id(context), trial_id):
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, f"trial {trial_id} was given to another worker"
            )


def _tuner_id(context: Any) -> str:
    return str(dict(context.invocation_metadata()).get(TUNER_ID, ""))


def serve(oracle: Durable, note: Callable[[str], None]) -> None:
    """Serves until every trial has ended and the workers that are alive know it.

    Args:
        oracle: shared by the workers.
        note: receives what a person should read.

    Raises:
        RunError: the address cannot be listened on.
    """
    where = address()
    # By default two chiefs on one port would share its calls, in silence.
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=[("grpc.so_reuseport", 0)])
    servicer = _Servicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        port = server.add_insecure_port(where)
    except RuntimeError:
        port = 0
    if not port:
        raise RunError(
            f"The chief cannot listen on {where}: the port is in use, or the address is not this "
            "machine's. Set KERASTUNER_ORACLE_PORT to a free one, for the workers as well."
        )
    server.start()
    note(f"chief: waits for workers on {where}")
    try:
        _wait(oracle, servicer, note)
    finally:
        server.stop(grace=1).wait()


def _wait(oracle: Durable, servicer: _Servicer, note: Callable[[str], None]) -> None:
    told = time.monotonic()
    while not (servicer.stop_triggered and oracle.finished()):
        time.sleep(_LOOK_EVERY)
        if servicer.error:
            raise servicer.error
        if servicer.stop_triggered and oracle.failure and not oracle.ongoing_trials:
            break
        silent = min(oracle.workers().values(), default=time.monotonic() - told)
        if silent > oracle.worker_timeout and time.monotonic() - told > oracle.worker_timeout:
            note(f"chief: no worker has been heard for {silent:,.0f} s; start one to go on")
            told = time.monotonic()
    # A worker that polls gets the answer to stop; the wait for one that is gone ends after this.
    until = time.monotonic() + oracle.worker_timeout
    while oracle.tuner_ids and time.monotonic() < until:
        if min(oracle.workers().values(), default=oracle.worker_timeout) > _GONE:
            break
        time.sleep(_LOOK_EVERY)
