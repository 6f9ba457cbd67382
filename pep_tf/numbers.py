"""Numbers as people write them: the one place where a count, a rate or a share is read."""

import dataclasses
import math
import operator
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeGuard

import numpy as np

from pep_tf.errors import NumberError

_LARGEST = 1e18  # of a number in a file that there is a use for
INT32_MAX = 2**31 - 1  # ids, rows of a table and what counts them travel as int32
_LARGEST_EXPONENT = 400  # beyond every float; a longer one would take memory to expand
_LONGEST = 80  # characters
_DIGITS = r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+(?:_[0-9]+)*"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)(?P<whole>{_DIGITS})?(?P<point>\.[0-9]*)?(?:[eE](?P<exponent>[+-]?[0-9]+))?"
    r"(?P<percent>\s*%)?"
)
_POWER = re.compile(r"(?P<base>[0-9]+)\s*(?:\^|\*\*)\s*(?P<exponent>[0-9]+)")
_RATIO = re.compile(r"(?P<above>[0-9]+)\s*/\s*(?P<below>[0-9]+)")
_SIZE = re.compile(r"(?P<number>.*?)\s*(?P<prefix>(?:[KMG]I?)?)(?:B|bytes?)", re.IGNORECASE)
_ONE_OF_MANY = re.compile(r"[0-9]{3}")  # what follows a separator of thousands


@dataclasses.dataclass(frozen=True)
class Number:
    """A number and how it was written.

    Attributes:
        value: exact; of "10%" it is 1/10.
        form: "count" (5000, "5,000", "5_000", "1e3", "2^20"), "percent" ("10%") or "fraction" (0.1,
            "1.0", "1e-3", "1/10").
    """

    value: Fraction
    form: str


def read_number(value: Any) -> Number | None:
    """Reads a number, or text that is one; None for anything else, nan and infinity included.

    Example:
        >>> read_number("5,000").value, read_number("2^20").value, read_number("10%").value
        (Fraction(5000, 1), Fraction(1048576, 1), Fraction(1, 10))
    """
    if isinstance(value, bool | np.bool_):
        return None
    if not isinstance(value, str):
        return _of_python(value)
    text = value.strip()
    if len(text) > _LONGEST:
        return None
    if found := _POWER.fullmatch(text):
        return _power(int(found["base"]), int(found["exponent"]))
    if found := _RATIO.fullmatch(text):
        below = int(found["below"])
        return Number(Fraction(int(found["above"]), below), "fraction") if below else None
    found = _NUMBER.fullmatch(text)
    if not found or not (found["whole"] or (found["point"] or ".") != "."):
        return None
    return _decimal(found)


def _of_python(value: Any) -> Number | None:
    try:
        return Number(Fraction(operator.index(value)), "count")
    except TypeError:
        pass
    try:
        finite = math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return read_number(str(value)) if finite else None  # by its digits: 0.1 is 1/10


def _power(base: int, exponent: int) -> Number | None:
    if exponent * math.log10(max(base, 2)) > _LARGEST_EXPONENT:
        return None
    return Number(Fraction(base**exponent), "count")


def _decimal(found: re.Match[str]) -> Number | None:
    exponent = int(found["exponent"] or 0)
    if abs(exponent) > _LARGEST_EXPONENT:
        return None
    digits = re.sub("[,_]", "", found["whole"] or "0") + (found["point"] or ".")
    value = Fraction(f"{found['sign']}{digits}0") * Fraction(10) ** exponent
    if found["percent"]:
        return Number(value / 100, "percent")
    # 1.0 is all of something; 1.5e3 is as good a count as 1500.
    counted = not found["point"] or (exponent > 0 and abs(value) > 1)
    return Number(value, "count" if counted and value.denominator == 1 else "fraction")


def read_size(value: Any) -> Number | None:
    """Reads text that says how many bytes, as such ("30KB", "30,000 B", "1.5 MiB") or as a share.

    Returns:
        A count of bytes, or a percentage ("3%bytes"); None for what names no bytes.

    Example:
        >>> read_size("30KB").value, read_size("3%bytes").value, read_size("3%")
        (Fraction(30000, 1), Fraction(3, 100), None)
    """
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    number = read_number(found["number"]) if found else None
    if found is None or number is None:
        return None
    if number.form == "percent":
        return None if found["prefix"] else number
    prefix = found["prefix"].upper()
    unit = (1024 if prefix.endswith("I") else 1000) ** (1 + "KMG".find(prefix[:1] or "-"))
    return Number(number.value * unit, "count")


def whole(name: str, value: Any, *, least: int | None = None, most: int = INT32_MAX) -> int:
    """A whole number within bounds.

    Args:
        name: of the flag or argument, for the message.
        value: a number, or text such as "5000", "5,000", "5_000", "1e3" and "2^20".
        least, most: bounds, inclusive.

    Raises:
        NumberError: no whole number, or one that is out of bounds.

    Example:
        >>> whole("rows", "5,000", least=1)
        5000
    """
    number = read_number(value)
    if number is None or number.form == "percent" or number.value.denominator != 1:
        raise NumberError(
            f"`{name}` must be a whole number, written like 5000, 5_000, 5,000, 1e3 or 2^20. "
            f"Received: {value!r}"
        )
    _check_bounds(name, number.value, value, least, most)
    return int(number.value)


def real(name: str, value: Any, *, least: float | None = None, most: float | None = None) -> float:
    """A finite number within bounds.

    Args:
        name: of the flag or argument, for the message.
        value: a number, or text such as "0.001", "1e-3" and "10%", which is 0.1.
        least, most: bounds, inclusive.

    Raises:
        NumberError: no number, one that is not finite, or one that is out of bounds.
    """
    number = read_number(value)
    if number is None or abs(number.value) > Fraction(1e300):
        raise NumberError(
            f"`{name}` must be a number, written like 0.001, 1e-3 or 10%. Received: {value!r}"
        )
    _check_bounds(name, number.value, value, least, most)
    return float(number.value)


def _check_bounds(
    name: str, number: Fraction, value: Any, least: float | None, most: float | None
) -> None:
    if least is not None and number < least:
        raise NumberError(f"`{name}` must be at least {least:,}. Received: {value}")
    if most is not None and number > most:
        raise NumberError(f"`{name}` must be at most {most:,}. Received: {value}")


def wholes(name: str, values: Any, *, least: int | None = None) -> tuple[int, ...]:
    """A list of whole numbers.

    Raises:
        NumberError: no list, such as the text "100" whose characters would be taken for numbers, or
            something in it that `whole` refuses.
    """
    values = listed(name, values, "100,100")
    for value in values:
        number = read_number(value)
        if number is None or number.form == "percent" or number.value.denominator != 1:
            raise NumberError(
                f"`{name}` must be whole numbers such as 100,100. "
                f"Received: {','.join(map(str, values))}"
            )
    return tuple(whole(name, value, least=least) for value in values)


def read_fields(instance: Any, least: Mapping[str, int]) -> None:
    """Reads the fields of a dataclass by their annotated types, however their values were written.

    Args:
        instance: whole numbers are annotated `int`, other numbers `float`, lists of whole numbers
            `tuple[int, ...]`; of other fields only those of type `bool` and `str` are looked at.
        least: lower bounds of some of them.

    Raises:
        NumberError: a value that its field cannot have.
    """
    for field in dataclasses.fields(instance):
        name, value = field.name, getattr(instance, field.name)
        kind = type_name(field)
        if kind.endswith("| None") and value is None:
            continue
        if kind in ("int", "int | None"):
            value = whole(name, value, least=least.get(name))
        elif kind in ("float", "float | None"):
            value = real(name, value, least=least.get(name))
        elif kind == "tuple[int, ...]":
            value = wholes(name, value, least=least.get(name))
        elif kind in ("bool", "str") and not isinstance(value, bool if kind == "bool" else str):
            wanted = "True or False" if kind == "bool" else "text"
            raise NumberError(f"`{name}` must be {wanted}. Received: {value!r}")
        object.__setattr__(instance, name, value)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a JSON file is a number, finite and of a size that there is a use for."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def type_name(field: dataclasses.Field[Any]) -> str:
    """As it is written: `int`, `float | None`, `tuple[int, ...]`."""
    return field.type.__name__ if type(field.type) is type else str(field.type)


def listed(name: str, values: Any, such_as: str) -> tuple[Any, ...]:
    """The items of a list, a tuple or an array, and nothing else.

    Raises:
        NumberError: text, a number or whatever is no sequence.
    """
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise NumberError(
            f"`{name}` must be a list such as ({such_as.replace(',', ', ')}). Received: {values!r}"
        )
    return tuple(values)


def split_list(name: str, text: str, *, counts: bool = False) -> list[str]:
    """The items of a comma-separated list, unless a comma may stand between thousands.

    Args:
        name: of the flag, for the message.
        text: as it was typed.
        counts: whether items may be counts of any size. Then `5,000` and `264,256` are refused, since
            they may be one number or two; a space behind the comma (`264, 256`), an underscore
            (`264_256`) or a count of four digits elsewhere in the list says which.

    Raises:
        NumberError: a comma between thousands.

    Example:
        >>> split_list("budgets", "20%,1000", counts=True)
        ['20%', '1000']
    """
    items = text.split(",")
    plain = any(re.fullmatch("[0-9]{4,}", item.strip()) for item in items)
    for before, item in zip(items, items[1:], strict=False):
        if not _ONE_OF_MANY.fullmatch(item) or not re.fullmatch("[0-9]{1,3}", before.strip()):
            continue
        if item.startswith("0") or (counts and not plain):
            first = before.strip()
            two = "" if item.startswith("0") else f", and as `{first}, {item}` if it is two"
            raise NumberError(
                f"`{name}` is a list, whose items a comma separates: write {first},{item} as "
                f"{first}_{item} if it is one number{two}. Received: {text}"
            )
    return [item.strip() for item in items if item.strip()]
