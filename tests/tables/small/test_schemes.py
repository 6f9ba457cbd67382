"""Ways to make a small table against the formulas of their papers, in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.errors import NumberError
from pep_tf.export.inspect import inspect
from pep_tf.layers import SmallEmbedding
from pep_tf.tables.small import SCHEMES

FIELDS, DIM = (3, 20, 7), 6
FIRST = np.cumsum((0, *FIELDS))
ROWS = np.array([0, 2, 3, 22, 9, 29, 23, 9])  # one of them twice
SIZE = {"hash": 5, "qr": 5, "mde": 4, "mgqe": 4}
FREQUENT = np.isin(np.arange(30), (1, 9, 22))


def layer(scheme: str) -> SmallEmbedding:
    keras.utils.set_random_seed(0)
    made = SmallEmbedding(30, DIM, scheme, SIZE[scheme], field_sizes=FIELDS)
    made.build()
    if scheme == "mgqe":
        made.begin(np.where(FREQUENT, 9, 3))
        made.tables["centroids"].assign(made.tables["rows"].numpy()[[9, 4, 22, 17]])
    return made


def hashed(t):
    kept = [3, 5, 5]
    start = np.cumsum([0, *kept])
    table = []
    for field, n in enumerate(FIELDS):
        table += [t["table"][start[field] + i % kept[field]] for i in range(n)]
    return np.array(table)


def composed(t):
    """Shi et al., section 3: x = R[i mod m] * Q[i // m]; the field of 3 has a row for each."""
    table = [t["remainder"][i] for i in range(3)]
    table += [t["remainder"][3 + i % 5] * t["quotient"][i // 5] for i in range(20)]
    table += [t["remainder"][8 + i % 5] * t["quotient"][4 + i // 5] for i in range(7)]
    return np.array(table)


def mixed(t):
    """Ginart et al., algorithm 2: d_f = d (n_f / n_0)^-alpha; rows times the field's matrix."""
    widths = [4, round(4 * (20 / 3) ** -0.3), round(4 * (7 / 3) ** -0.3)]
    assert widths == [4, 2, 3]
    matrices = [np.eye(4), t["projections"][:2], t["projections"][2:5]]
    table = [t[f"width_{w}"] @ m for w, m in zip(widths, matrices, strict=True)]
    return np.pad(np.concatenate(table), ((0, 0), (0, 2)))


PARTS = ((0, 1), (1, 3), (3, 4), (4, 6))  # columns of the four parts of six


def codes(t):
    """Kang et al., section 4: the nearest centroid of each part, for rare features of the first two."""
    allowed = np.where(FREQUENT, 4, 2)
    table = [
        [np.square(t["centroids"][:k, a:b] - q[a:b]).sum(axis=1).argmin() for a, b in PARTS]
        for q, k in zip(t["rows"], allowed, strict=True)
    ]
    return np.array(table)


def quantised(t):
    parts = [t["centroids"][own, a:b] for own, (a, b) in zip(codes(t).T, PARTS, strict=True)]
    return np.concatenate(parts, axis=1)


ORACLES = {"hash": hashed, "qr": composed, "mde": mixed, "mgqe": quantised}
# Of 30 features: four bits each of codes, four more of 3 frequent ones and of none, a byte behind both;
# which are frequent: 8 groups of 32 bits and a byte, and 4 bytes that count what is before.
CODE_BYTES = (30 * 4 / 8 + 1) + (4 * 4 / 8 + 1) + (8 * 5 + 4)
NUMBERS = {
    "hash": (3 + 5 + 5) * 6,
    "qr": (3 + 5 + 5 + 4 + 2) * 6,
    "mde": 3 * 4 + 20 * 2 + 7 * 3 + (2 + 3) * 4,
    "mgqe": 4 * 6 + -(-CODE_BYTES // 4),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lookup_and_size_are_those_of_the_paper(scheme):
    made = layer(scheme)
    expected = ORACLES[scheme]({name: v.numpy() for name, v in made.tables.items()})
    np.testing.assert_allclose(
        made(ROWS.reshape(2, 4)).numpy().reshape(8, DIM), expected[ROWS], atol=1e-7
    )
    np.testing.assert_allclose(made.effective_table(), expected, atol=1e-7)
    assert made.scheme.numbers == made.nnz() == NUMBERS[scheme]
    if scheme != "mgqe":  # which trains rows that are not stored
        assert made.count_params() == NUMBERS[scheme]


@pytest.mark.parametrize("scheme", ["hash", "qr", "mde"])
def test_gradients_are_those_of_the_paper(scheme):
    made = layer(scheme)
    weights = np.random.default_rng(0).normal(size=(8, DIM)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(made(ROWS) * weights)
    variables = made.trainable_variables
    found = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, found, strict=True):
        values = {name: v.numpy().astype(np.float64) for name, v in made.tables.items()}
        expected = np.zeros(variable.shape)
        for at in np.ndindex(*variable.shape):  # linear in each table: a difference is exact
            step = {n: v.copy() for n, v in values.items()}
            step[variable.name][at] += 1.0
            change = ORACLES[scheme](step)[ROWS] - ORACLES[scheme](values)[ROWS]
            expected[at] = (change * weights).sum()
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), expected, atol=1e-5)


def test_codes_let_the_gradient_through_to_rows_and_draw_centroids_to_them():
    """Chen et al., section 3.2: straight-through, and of sum ||c - sg(q)||^2 the gradient 2 (c - q)."""
    made = layer("mgqe")
    weights = np.random.default_rng(0).normal(size=(8, DIM)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(made(ROWS) * weights)
    own, centroids = (made.tables[name] for name in ("rows", "centroids"))
    assert made.trainable_variables == [own, centroids]
    found = tape.gradient(loss, [own.value, centroids.value])
    t = {name: v.numpy() for name, v in made.tables.items()}
    of_rows, of_centroids = np.zeros((30, DIM)), np.zeros((4, DIM))
    for row, weight in zip(ROWS, weights, strict=True):
        of_rows[row] += weight
        for code, (a, b) in zip(codes(t)[row], PARTS, strict=True):
            of_centroids[code, a:b] += 2 * (t["centroids"][code, a:b] - t["rows"][row, a:b])
    for gradient, expected in zip(found, (of_rows, of_centroids), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), expected, atol=1e-5)
    assert (codes(t)[FREQUENT] > 1).any()
    assert (codes(t)[~FREQUENT] < 2).all()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", ["float32", "int4"])
def test_a_stored_form_answers_as_the_layer_and_takes_what_was_counted(scheme, dtype):
    made = layer(scheme)
    stored = made.stored_form(dtype)
    assert stored.nbytes == sum(a.nbytes for a in stored.arrays.values())
    assert stored.nbytes == type(stored).bytes_of(made.scheme, dtype)
    difference = np.abs(stored.lookup(tf.constant(ROWS, tf.int32)) - made(ROWS)).max()
    assert difference <= (0 if dtype == "float32" else 0.2)
    if (scheme, dtype) == ("mgqe", "float32"):  # a row of zeros stands before those of the codebook
        assert stored.nbytes == 4 * 5 * 6 + CODE_BYTES


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_budget_gives_the_largest_tables_within_it(scheme):
    sizes = (2, 50, 900, 33)
    fitting = SCHEMES[scheme].fitting
    for most in (1_000, 1_500, 5_000, 10**6):
        found = fitting(sizes, 8, most)
        assert found.numbers <= most
        larger = type(found)(sizes, 8, found.size + 1)
        assert larger.numbers > most or found.size == found.sizes(sizes, 8)[1]
    smallest = min(
        type(found)(sizes, 8, m).numbers for m in range(1, 9 if scheme in ("mde", "mgqe") else 900)
    )
    with pytest.raises(NumberError, match=f"'{scheme}' takes at least {smallest:,} numbers"):
        fitting(sizes, 8, smallest - 1)


def test_a_layer_comes_back_from_its_configuration_and_refuses_sizes():
    made = layer("mde")
    other = SmallEmbedding.from_config(made.get_config())
    assert other.scheme.shapes == made.scheme.shapes
    with pytest.raises(ValueError, match="must sum to input_dim=30"):
        SmallEmbedding(30, 6, "hash", 5, field_sizes=(3, 20))
    with pytest.raises(ValueError, match="one of .*'qr'"):
        SmallEmbedding(30, 6, "sha", 5)


def test_it_is_stored_in_few_numbers_in_any_keras_model(tmp_path):
    keras.utils.set_random_seed(0)
    table = SmallEmbedding(900, 8, "qr", 30, name="item")
    model = keras.Sequential([keras.Input((2,), dtype="int32"), table])
    report = inspect(pep_tf.export(model, tmp_path, examples=np.array([[0, 899], [5, 5]])))
    assert report["bytes"]["values"] == 4 * 8 * (31 + 31) == report["variables"]["tables"]
    assert table.scheme.numbers == 60 * 8
