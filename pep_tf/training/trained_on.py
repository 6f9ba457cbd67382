"""Which data a model was trained on: kept with the model, and compared with later data."""

import json

import keras
from absl import logging

from pep_tf.data import CTRData, Identity
from pep_tf.errors import PepError, RunError


def trained_on(model: keras.Model) -> Identity | None:
    """The identity of the data that a model was last trained on; None if unknown."""
    noted = getattr(model, "trained_on", None)
    return Identity.from_config(json.loads(noted)) if isinstance(noted, str) else None


def note_trained_on(model: keras.Model, data: CTRData) -> None:
    """Has a model carry the identity of the data it is trained on.

    A model of `pep_tf.models` takes it along in its configuration, so in a `.keras` file and in a
    ticket as well.

    Args:
        model: any Keras model.
        data: what it was trained on.

    Example:
        >>> data = pep_tf.data.from_arrays((np.arange(20)[:, None] % 4, np.arange(20) % 2), {"item": 4})
        >>> model = build_model("linear", data.schema.size_by_name)
        >>> note_trained_on(model, data)
        >>> trained_on(model) == data.identity
        True
    """
    model.trained_on = json.dumps(data.identity.get_config())  # text: Keras would wrap a dict


def refuse_other_data(
    known: Identity | None,
    data: CTRData,
    what: str,
    then: str,
    error: type[PepError] = RunError,
) -> None:
    """Refuses data whose ids or split differ from those of training.

    Args:
        known: the identity of the data that it was trained on; nothing is compared with None.
        data: what it meets.
        what: what was trained, for the message.
        then: what to do about it, for the message.
        error: class of the error.

    Raises:
        PepError: of class `error`; see `Identity.trained_otherwise`.
    """
    if known is not None and (difference := known.trained_otherwise(data.identity)):
        raise error(f"{what} was made with other data: {difference}. {then}")


def refuse_to_resume(known: Identity | None, data: Identity, path: object) -> None:
    """Refuses to go on with what was begun on other data, whatever differs.

    Args:
        known: the identity that was recorded; None, of versions that recorded none, is warned of.
        data: of the data at hand.
        path: what is taken up again, for the message.

    Raises:
        RunError: another identity.
    """
    if known is None:
        logging.warning(
            "%s was begun by a version that did not record its data: not compared with it.", path
        )
    elif difference := known.difference(data):
        raise RunError(
            f"{path} was begun on other data: {difference}. Resume with the same data, or begin in another "
            "folder."
        )
