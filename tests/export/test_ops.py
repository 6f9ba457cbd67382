"""Every operation of an exported graph is one that TensorFlow 2.20 has too."""

from pathlib import Path

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from pep_tf.data.clicklogs import AVAZU, CRITEO, HashEncoding, Transform, VocabularyEncoding
from pep_tf.data.clicklogs.formats import default_features
from pep_tf.data.movielens.transform import MovieLensTransform
from pep_tf.data.schema import FeatureSchema
from pep_tf.data.synthetic.shape import get_shape
from pep_tf.data.synthetic.transform import SyntheticTransform
from pep_tf.export.saved_model import export_saved_model
from pep_tf.models import build_model, models_with
from tests.export.towers import SCHEMA, SmallTower, sparse_table

OPS = set(Path(__file__).with_name("ops_of_tf_2_20.txt").read_text().split())


def ops_of(version: Path) -> set[str]:
    model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    functions = {function.signature.name for function in graph.library.function}
    used = {node.op for node in graph.node}
    used |= {node.op for function in graph.library.function for node in function.node_def}
    return used - functions


@pytest.mark.parametrize(
    ("dtype", "packed", "dim"),
    [
        ("float32", True, 8),
        ("float16", True, 70),
        ("int8", True, 8),
        ("int4", True, 8),
        ("float32", False, 8),
    ],
)
def test_packed_and_dense_tables(tmp_path, dtype, packed, dim):
    folder = export_saved_model(
        tmp_path,
        schema=SCHEMA,
        table=sparse_table(SCHEMA.num_features, dim, kept=0.1),
        first_order=sparse_table(SCHEMA.num_features, 1, kept=0.1),
        tower=SmallTower(3, dim),
        dtype=dtype,
        packed=packed,
    )
    assert ops_of(folder) <= OPS


@pytest.mark.parametrize("name", models_with("embedding"))
def test_models(tmp_path, name):
    model = build_model(name, {"user": 50, "device": 3}, embedding_dim=8, pruning="none")
    folder = export_saved_model(
        tmp_path,
        schema=FeatureSchema.of(model.fields),
        table=model.embedding.effective_table(),
        first_order=model.first_order and model.first_order.effective_table(),
        tower=model,
    )
    assert ops_of(folder) <= OPS


@pytest.mark.parametrize(
    "transform",
    [
        MovieLensTransform(
            {"user": np.arange(3), "zip": np.array(["9"]), "time_bucket": np.arange(2)}, 5
        ),
        SyntheticTransform("avazu", get_shape("avazu").schema(100)),
    ],
    ids=["movielens", "synthetic"],
)
def test_vocabularies_and_spelled_ids(tmp_path, transform):
    schema = transform.schema
    folder = export_saved_model(
        tmp_path,
        schema=schema,
        table=sparse_table(schema.num_features, 4, kept=0.1),
        tower=SmallTower(schema.num_fields, 4),
        transform=transform,
    )
    assert ops_of(folder) <= OPS


@pytest.mark.parametrize("encoding", ["hash", "vocabulary"])
@pytest.mark.parametrize("fmt", [CRITEO, AVAZU], ids=lambda fmt: fmt.name)
def test_raw_features(tmp_path, fmt, encoding):
    features = default_features(fmt, hour="parts")
    if encoding == "hash":
        kept = HashEncoding((5,) * len(features))
    else:
        kept = VocabularyEncoding([np.arange(4, dtype=np.uint64)] * len(features), 1, "all")
    transform = Transform(fmt.name, features, kept)
    folder = export_saved_model(
        tmp_path,
        schema=transform.schema,
        table=sparse_table(transform.schema.num_features, 4, kept=0.1),
        tower=SmallTower(len(features), 4),
        transform=transform,
    )
    assert ops_of(folder) <= OPS
