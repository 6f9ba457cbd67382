"""How often each feature occurs in the training rows."""

import numpy as np

from pep_tf.data.dataset import CTRData

_ROWS_AT_ONCE = 1 << 16


def count_features(data: CTRData) -> np.ndarray:
    """Occurrences of each table row in the training split, int64 [N]; reads the split once."""
    schema = data.schema
    counts = np.zeros(schema.num_features, np.int64)
    offsets = schema.offsets[schema.column_fields]
    # An id 0 of a bag stands where it has no value.
    is_id = np.array([field.combiner is None for field in schema.fields])[schema.column_fields]
    for batch, *_ in data.train.batches(_ROWS_AT_ONCE):
        ids = batch.numpy()
        counted = (ids != 0) | is_id  # a number that is 0 adds nothing either
        np.add.at(counts, (np.where(schema.is_float, 0, ids) + offsets)[counted], 1)
    return counts
