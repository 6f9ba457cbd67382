"""The commands that prepare a data set as a store, one for each kind of data: `pep-tf prepare NAME`."""

# ruff: noqa: E402 - what follows needs packages that may be missing.
from pep_tf.extras import require

require("preparing data", "data")
