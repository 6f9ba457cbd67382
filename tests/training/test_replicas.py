"""Workers whose copies of a model differ are found, and what they cannot share is refused."""

import types

import keras
import pytest

from pep_tf.errors import RunError
from pep_tf.training.replicas import check_replicas, digest, refuse_what_cannot_be_shared
from tests import tiny


def weights(last):
    return {"v": keras.Variable([1.0, last], name="v")}


def test_replicas_that_differ():
    group = types.SimpleNamespace(gather_objects=lambda own: [own, digest(weights(2.0)), own])
    check_replicas(group, weights(2.0), "fit")
    with pytest.raises(RunError, match=r"stage 'fit' differ between worker 0 and \[1\]"):
        check_replicas(group, weights(2.0000002), "fit")


def test_fewer_rows_than_workers():
    group = types.SimpleNamespace(size=3)
    refuse_what_cannot_be_shared(tiny.model("fm"), 3, group)
    with pytest.raises(RunError, match="Received: 2 rows in a batch, 3 workers"):
        refuse_what_cannot_be_shared(tiny.model("fm"), 2, group)
