"""A made-up table of clicks with a column for each kind."""

import numpy as np
import pandas as pd

FEATURES = {
    "user": "vocabulary",
    "item": "hash:50",
    "views": "integer",
    "price": "bins:4",
    "hour": "hour:time",
    "day": "weekday:time",
    "tags": "multi:|",
    "size": "float",
}


def clicks(rows: int = 200) -> pd.DataFrame:
    """Rows whose label depends on the user, some of their values missing."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "user": rng.integers(0, 9, rows).astype(float),
            "item": rng.choice(
                ["tea", "coffee", "a drink whose name is longer than 32 bytes"], rows
            ),
            "views": rng.integers(-3, 900, rows),
            "price": rng.normal(size=rows),
            "time": pd.Timestamp("2024-02-28 22:30:00")
            + pd.to_timedelta(rng.permutation(rows), unit="h"),
        }
    )
    frame["clicked"] = (rng.random(rows) < 0.2 + 0.6 * (frame["user"] % 2)).astype(int)
    frame["tags"] = rng.choice(["hot|sweet", "cold", "", "iced|sweet|cold"], rows)
    frame["size"] = rng.lognormal(3.0, 1.0, rows)
    frame.loc[6, "size"] = np.nan
    frame.loc[3, "user"], frame.loc[4, "item"], frame.loc[5, "price"] = np.nan, None, np.nan
    return frame
