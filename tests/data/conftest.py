"""A small folder in the format of MovieLens-1M, its rows made up here; the place of real data."""

import itertools
from pathlib import Path

import pytest

_AGES = (1, 18, 25, 35, 45, 50, 56)
_GENRES = ("Animation|Children's", "Drama", "Comedy|Children's|Musical", "Film-Noir", "Sci-Fi")


@pytest.fixture(scope="session")
def ml1m() -> Path:
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ml-1m"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data/ml-1m beside the repository is absent")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """42 users (every occupation twice), 9 movies, 378 ratings."""
    users = [
        f"{u}::{'FM'[u % 2]}::{_AGES[u % 7]}::{u % 21}::{'0' * (u % 3)}{100 + u % 11}"
        for u in range(1, 43)
    ]
    movies = [f"{m}::Fil\xe9 {m}, The\x85 ({1950 + m})::{_GENRES[m % 5]}" for m in range(3, 30, 3)]
    ratings = [
        f"{u}::{m}::{1 + (u * m) % 5}::{978_000_000 + (u * 7919 + m * 104_729) % 3_000_000}"
        for u, m in itertools.product(range(1, 43), range(27, 0, -3))
    ]
    write(tmp_path, users=users, movies=movies, ratings=ratings)
    return tmp_path


def write(folder: Path, **files: list[str]) -> None:
    for name, lines in files.items():
        text = "".join(f"{line}\n" for line in lines)
        (folder / f"{name}.dat").write_bytes(text.encode("latin-1"))
