"""Prepares Avazu (Kaggle, 2014): `python -m data_prep.avazu.prepare --raw=train.csv --out=DIR`."""

from absl import app, flags

from data_prep import clicklogs

_HOUR = flags.DEFINE_enum(
    "hour", "raw", ["raw", "parts"], "Keep `hour` as it is, or make hour of day and weekday of it."
)

if __name__ == "__main__":
    app.run(lambda _: clicklogs.run("avazu", _HOUR.value))
