import json

import numpy as np
import pytest

from pep_tf.data import FeatureSchema, Field
from pep_tf.errors import DataError


def test_offsets_are_the_first_row_of_each_field():
    schema = FeatureSchema.of({"a": 2, "b": 7, "c": 1})
    assert schema.names == ("a", "b", "c")
    assert schema.sizes == (2, 7, 1)
    assert (schema.num_fields, schema.num_features) == (3, 10)
    assert schema.offsets.tolist() == [0, 2, 9]
    assert schema.offsets.dtype == np.int64


def test_config_round_trip_through_json():
    schema = FeatureSchema.of({"a": 2, "b": 7})
    assert schema.get_config() == [{"name": "a", "size": 2}, {"name": "b", "size": 7}]
    assert FeatureSchema.from_config(json.loads(json.dumps(schema.get_config()))) == schema


def test_refuses_no_field():
    with pytest.raises(DataError, match="at least one field"):
        FeatureSchema(())


def test_refuses_a_name_used_twice():
    with pytest.raises(DataError, match=r"unique.*\['a'\]"):
        FeatureSchema((Field("a", 1), Field("b", 1), Field("a", 2)))


@pytest.mark.parametrize("size", [0, -3])
def test_refuses_an_empty_vocabulary(size):
    with pytest.raises(DataError, match=f"'b' must be an integer from 1 .* Received: {size}"):
        FeatureSchema.of({"a": 1, "b": size})


@pytest.mark.parametrize("size", [2**31, 10**12])
def test_refuses_ids_that_are_no_int32(size):
    with pytest.raises(DataError, match=f"'b' must be an integer from 1 to 2147483647.*: {size}"):
        FeatureSchema.of({"a": 1, "b": size})


def test_refuses_more_rows_than_int32_can_name():
    assert FeatureSchema.of({"a": 2**31 - 2, "b": 1}).num_features == 2**31 - 1
    with pytest.raises(DataError, match="at most 2,147,483,647 features.*Received: 2,147,483,648"):
        FeatureSchema.of({"a": 2**31 - 1, "b": 1})
