"""The dense update against the trajectories of the authors' code (tests/reference/README.md)."""

import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from pep_tf.layers import PEPEmbedding, TableLayer, TicketEmbedding
from pep_tf.models import FM, AutoInt, CTRModel, DeepFM
from pep_tf.optimizers import CoupledAdam
from pep_tf.training.step import train_step

HERE = pathlib.Path(__file__).parent
FOLDER = pathlib.Path(os.environ.get("PEP_REFERENCE_DIR", HERE / "reference"))
FILES = sorted(FOLDER.glob("*.npz"))

# Every variable of our models, by the end of its path, and where the authors' code keeps it.
MLP_PARTS = {"gamma": "weight", "beta": "bias"} | {
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def build(config: dict, mask: np.ndarray | None) -> CTRModel:
    fields = {f"field_{i}": size for i, size in enumerate(config["field_dims"])}
    if mask is not None:
        bits = np.packbits(mask.astype(bool), axis=1)
        embedding = TicketEmbedding.of_mask(bits, config["dim"], name="embedding")
    else:
        embedding = PEPEmbedding(
            sum(fields.values()),
            config["dim"],
            granularity=config["granularity"],
            threshold_init=config["threshold_init"],
            field_sizes=config["field_dims"],
            name="embedding",
        )
    mlp = {"mlp_widths": config["mlp"], "dropout": config["mlp_dropout"]}
    if config["model"] == "fm":
        model = FM(fields, embedding)
    elif config["model"] == "deepfm":
        model = DeepFM(fields, embedding, **mlp)
    else:
        told = config["attention"]
        attention = {"width": told["dim"], **{k: told[k] for k in ("heads", "layers", "dropout")}}
        model = AutoInt(fields, embedding, **mlp, attention=attention)
    model.build()
    return model


def reference_value(path: str, arrays, config: dict, when: str) -> np.ndarray | None:
    """The authors' value of one of our variables, in our layout."""
    get = lambda name: arrays[f"{when}/{name}"]  # noqa: E731
    *_, layer, name = path.split("/")
    if path.endswith("embedding/table"):
        table = get("embedding.v")
        return table[arrays["mask"].astype(bool)] if "mask" in arrays else table
    if name == "thresholds":
        return get("embedding.s")
    if path.endswith("first_order/table"):
        return get("linear.fc.weight")
    if len(path.split("/")) == 2 and name == "bias" or path == "bias":
        return get("linear.bias")
    if "/deep/" in path:
        kind, _, index = layer.rpartition("_")
        place = 4 * (len(config["mlp"]) if layer == "logit" else int(index))
        place += kind == "batch_norm"
        torch_name = MLP_PARTS.get(name, "bias") if kind == "batch_norm" else "bias"
        if name == "kernel":
            return get(f"mlp.mlp.{place}.weight").T
        return get(f"mlp.mlp.{place}.{torch_name}")
    return attention_value(path, get)


def attention_value(path: str, get) -> np.ndarray:
    *_, layer, name = path.split("/")
    linear = {"project": "atten_embedding", "residual": "V_res_embedding"}
    linear["attention_logit"] = "attn_fc"
    if layer in linear:
        return (
            get(f"{linear[layer]}.weight").T if name == "kernel" else get(f"{linear[layer]}.bias")
        )
    index = int(path.split("attention_")[1].split("/")[0])
    torch_name = f"self_attns.{index}."
    if layer == "attention_output":
        value = get(torch_name + ("out_proj.weight" if name == "kernel" else "out_proj.bias"))
        return value.T if name == "kernel" else value
    part = ("query", "key", "value").index(layer)
    value = np.split(
        get(torch_name + ("in_proj_weight" if name == "kernel" else "in_proj_bias")), 3
    )
    return value[part].T if name == "kernel" else value[part]


def load(model: CTRModel, arrays, config: dict) -> None:
    places = ("rows", "starts", "columns")  # of a ticket's entries, which its mask has set
    for variable in (v for v in model.weights if v.name not in places):
        value = reference_value(variable.path, arrays, config, "init")
        variable.assign(np.reshape(value, variable.shape))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_follows_the_authors_trajectory(path):
    with np.load(path) as arrays:
        arrays = dict(arrays)
    config = json.loads(str(arrays["config"]))
    model = build(config, arrays.get("mask"))
    load(model, arrays, config)
    embedding = model.embedding
    adam = config["adam"]
    optimizer = CoupledAdam(config["learning_rate"], config["l2"], **adam)
    x, y = tf.constant(arrays["x"], tf.int32), tf.constant(arrays["y"], tf.float32)

    step = tf.function(lambda ids, labels: train_step(model, optimizer, ids, labels))
    entries = embedding.input_dim * embedding.output_dim
    slack = max(2, 0.002 * entries)
    for t, (ids, labels) in enumerate(zip(x, y, strict=True)):
        loss = float(step(ids, labels))
        assert abs(loss - arrays["loss"][t]) < 1e-5, f"loss of step {t}"
        assert abs(embedding.nnz() - arrays["nnz_after_step"][t]) <= slack, f"nnz of step {t}"
        if (snapshot := f"step{t + 1}/embedding.v") in arrays:
            check_table(embedding, arrays[snapshot], arrays)

    np.testing.assert_allclose(
        embedding.effective_table(), arrays["final/sparse_v"], atol=1e-5, rtol=0
    )
    check_table(embedding, arrays["final/embedding.v"], arrays)
    if embedding.prunable:
        s = embedding.thresholds.numpy()
        np.testing.assert_allclose(s, arrays["final/embedding.s"], atol=1e-5, rtol=0)
    logits = model(x[0], training=False).numpy()[:, 0]
    np.testing.assert_allclose(logits, arrays["final/eval_logits"], atol=1e-3, rtol=0)


def check_table(embedding: TableLayer, expected: np.ndarray, arrays) -> None:
    """V, or of a ticket what its mask keeps of it."""
    table = (embedding.entries if "mask" in arrays else embedding.table).numpy()
    kept = expected[arrays["mask"].astype(bool)][:, None] if "mask" in arrays else expected
    np.testing.assert_allclose(table, kept, atol=1e-5, rtol=0)


def test_there_is_something_to_compare():
    assert FILES, f"No .npz file in {FOLDER}"
