"""Invented rows in the two formats, for the tests of this folder."""

import gzip
import math
import pathlib

import numpy as np

REAL = pathlib.Path(__file__).resolve().parents[4] / "shared" / "data"
REAL_CRITEO = REAL / "criteo" / "train.txt"
REAL_AVAZU = REAL / "avazu" / "train.csv"


def criteo_line(rng: np.random.Generator) -> bytes:
    integers = ["" if rng.random() < 0.2 else str(int(rng.integers(-3, 5000))) for _ in range(13)]
    categories = [
        "" if rng.random() < 0.1 else f"{rng.integers(1, 40) * 7919:08x}" for _ in range(26)
    ]
    return "\t".join([str(int(rng.random() < 0.3)), *integers, *categories]).encode()


def criteo_lines(count: int, seed: int = 0) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [criteo_line(rng) for _ in range(count)]


def avazu_line(rng: np.random.Generator) -> bytes:
    hour = f"1410{rng.integers(21, 31):02d}{rng.integers(0, 24):02d}"
    rest = [f"{rng.integers(1, 50) * 104729:08x}" for _ in range(21)]
    return ",".join([str(rng.integers(10**18)), str(int(rng.random() < 0.2)), hour, *rest]).encode()


def avazu_lines(count: int, seed: int = 0) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [avazu_line(rng) for _ in range(count)]


def write(path: pathlib.Path, lines: list[bytes], end: bytes = b"\n") -> pathlib.Path:
    data = b"".join(line + end for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def plain_integer(token: str) -> str:
    """Criteo's transform as the winners of the challenge wrote it."""
    if not token:
        return "missing"
    v = int(token)
    return str(int(math.log(v) ** 2) if v > 2 else v - 2)
