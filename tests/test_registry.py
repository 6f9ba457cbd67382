"""Names that were changed are still found, with a warning; those of others are not taken."""

import importlib

import pytest

from pep_tf.registry import registering


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("pep_tf.tuning", "Options", "SearchOptions"),
        ("pep_tf.data.clicklogs", "Options", "ClickLogOptions"),
        ("pep_tf.layers", "Rows", "PEPRows"),
    ],
)
def test_a_name_that_was_changed(module, old, new):
    found = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=rf"{module}\.{old} is {module}\.{new} now"):
        assert getattr(found, old) is getattr(found, new)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        found.Nothing  # noqa: B018 - the look-up is what fails


def test_the_name_of_another_one():
    known = {"one": len}

    def mine():
        pass

    with pytest.raises(ValueError, match="must not be that of another thing.*'one' for .*mine"):
        registering("one", "thing", known)(mine)
    again = registering("two", "thing", known)
    assert again(again(mine)) is known["two"]
