"""Studies, one per file; some are commands as well."""

import os

# TensorFlow reads it when it is first imported: its errors are shown, not its notices and warnings.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
