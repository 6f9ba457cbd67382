"""What `pip install` takes and leaves."""

import pathlib
import re
import tomllib

import pytest

import pep_tf
from pep_tf.version import __version__

ROOT = pathlib.Path(pep_tf.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:3]]


def test_the_pins_of_the_tests_are_within_the_bounds_of_the_package():
    text = "".join(
        (ROOT / name).read_text() for name in ("requirements.txt", "requirements-export.txt")
    )
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)", text, re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [*PROJECT["project"]["dependencies"], *extras["export"]]
    bounds = {re.split("[<>=]", one)[0]: one for one in asked}
    assert set(bounds) == set(pins)
    for name, bound in bounds.items():
        least = re.search(r">=([\d.]+)", bound)
        most = re.search(r"<([\d.]+)", bound)
        assert numbers(pins[name]) >= numbers(least[1]), bound
        assert most is None or numbers(pins[name]) < numbers(most[1]), bound


def test_only_the_package_is_installed_and_tells_its_types_and_version():
    found = PROJECT["tool"]["setuptools"]["packages"]["find"]
    assert found == {"include": ["pep_tf*"]}
    assert (ROOT / "pep_tf" / "py.typed").exists()
    assert pep_tf.__version__ == __version__


def test_a_name_of_before_is_the_new_one_with_a_warning():
    with pytest.warns(DeprecationWarning, match="pep_tf.export now"):
        assert pep_tf.export_model is pep_tf.export
    with pytest.raises(AttributeError, match="has no attribute 'exports'"):
        _ = pep_tf.exports
