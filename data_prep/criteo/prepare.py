"""Prepares Criteo (Kaggle, 2014): `python -m data_prep.criteo.prepare --raw=train.txt --out=DIR`."""

from absl import app

from data_prep import clicklogs

if __name__ == "__main__":
    app.run(lambda _: clicklogs.run("criteo"))
