"""Ranges of decimal numbers of any size, and the regular expressions of their JSON. Pure.

The grammar library computes with doubles, in which no integer beyond 2**53 is sure to be itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, gcd, lcm
from typing import Final

MOST_MULTIPLES: Final = 1000
"""Multiples up to this count are written one by one."""
_BLOCK: Final = 20
"""Digits that are told apart without nesting."""
_WHOLE: Final = "(0|[1-9][0-9]*)"
_FRACTION: Final = r"(\.[0-9]+)?"
_EXPONENT: Final = "([eE][+-]?[0-9]+)?"


class NumberRangeError(Exception):
    """No regular expression of bearable size has these numbers."""


@dataclass(frozen=True, slots=True)
class Bound:
    """An end of a range."""

    value: Fraction
    open: bool = False
    """The value itself is beyond it."""


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Numbers between two bounds, each of which may be missing."""

    low: Bound | None = None
    high: Bound | None = None
    integer: bool = False
    multiple_of: Fraction | None = None
    """Positive; the decimals of it end."""

    def __and__(self, other: NumberRange) -> NumberRange:
        """The numbers of both."""
        steps = [step for step in (self.multiple_of, other.multiple_of) if step is not None]
        lows = [bound for bound in (self.low, other.low) if bound is not None]
        highs = [bound for bound in (self.high, other.high) if bound is not None]
        return NumberRange(
            low=max(lows, key=lambda bound: (bound.value, bound.open), default=None),
            high=min(highs, key=lambda bound: (bound.value, not bound.open), default=None),
            integer=self.integer or other.integer,
            multiple_of=_common_multiple(steps) if steps else None,
        )

    def holds(self, value: Fraction) -> bool:
        """Whether it is one of the numbers."""
        low, high, step = self.low, self.high, self.multiple_of
        return (
            not (low is not None and (value < low.value or (low.open and value == low.value)))
            and not (high is not None and (value > high.value or (high.open and value == high.value)))
            and not (self.integer and value.denominator != 1)
            and (step is None or (value / step).denominator == 1)
        )

    @property
    def empty(self) -> bool:
        """Whether there are no such numbers."""
        if self._step is not None:
            multiples = self._multiples(self._step)
            return multiples is not None and not multiples
        if self.low is None or self.high is None:
            return False
        width = self.high.value - self.low.value
        return width < 0 or (width == 0 and (self.low.open or self.high.open))

    def patterns(self) -> list[str]:
        """Regular expressions whose common matches are the JSON of these numbers: each in one spelling at least, and
        in none of another number.

        Raises NumberRangeError.
        """
        if self._step is not None:
            return self._stepped_patterns(self._step)
        if self.low is None and self.high is None:
            return [f"-?{_WHOLE}{_FRACTION}{_EXPONENT}"]
        return [pattern for pattern in (_above(self.low, False), _below(self.high, False)) if pattern]

    @property
    def _step(self) -> Fraction | None:
        """What every number is a multiple of."""
        if not self.integer:
            return self.multiple_of
        return Fraction(1) if self.multiple_of is None else Fraction(self.multiple_of.numerator)

    def _multiples(self, step: Fraction) -> range | None:
        """In steps; ``None`` where there is no end of them."""
        if self.low is None or self.high is None:
            return None
        first, last = self.low.value / step, self.high.value / step
        return range(
            floor(first) + 1 if self.low.open else ceil(first),
            ceil(last) if self.high.open else floor(last) + 1,
        )

    def _stepped_patterns(self, step: Fraction) -> list[str]:
        multiples = self._multiples(step)
        if step != 1 and multiples is not None and multiples.stop - multiples.start <= MOST_MULTIPLES:
            return ["|".join(_decimal(step * count).replace(".", r"\.") for count in multiples)]
        whole = step.denominator == 1
        ends = [pattern for pattern in (_above(self.low, whole), _below(self.high, whole)) if pattern]
        if step == 1:
            return ends or [f"-?{_WHOLE}"]
        return [*ends, _multiples_of(step)]


def _common_multiple(steps: list[Fraction]) -> Fraction:
    return Fraction(lcm(*(step.numerator for step in steps)), gcd(*(step.denominator for step in steps)))


def _multiples_of(step: Fraction) -> str:
    """Raises NumberRangeError."""
    if step.numerator == 1:
        places = len(_decimal(step)) - 2
        if 10**places == step.denominator:
            return rf"-?{_WHOLE}(\.[0-9]{{1,{places}}}0*)?"
    number, places = step.numerator, 0
    while 10**places % number and 10**places // number <= MOST_MULTIPLES:
        places += 1
    if step.denominator != 1 or 10**places % number or 10**places // number > MOST_MULTIPLES:
        raise NumberRangeError(
            f"multiples of {_decimal(step)} beyond 2^53 are held where 10, 100 or 1000 is a multiple of it, or where "
            f"its range has at most {MOST_MULTIPLES}"
        )
    below = range(0, 10**places, number)
    if not places:
        return f"-?{_WHOLE}"
    endings = "|".join(str(multiple).zfill(places) for multiple in below)
    return f"-?({'|'.join(map(str, below))}|[1-9][0-9]*({endings}))"


def _above(bound: Bound | None, whole: bool) -> str:
    """What no upper bound holds back; empty without a bound."""
    if bound is None:
        return ""
    any_ = _WHOLE if whole else _WHOLE + _FRACTION
    if bound.value < 0:
        below_zero = _at_most(Bound(-bound.value, bound.open), whole)
        return f"{any_}|-({below_zero})" if below_zero else any_
    return _at_least(bound, whole)


def _below(bound: Bound | None, whole: bool) -> str:
    if bound is None:
        return ""
    any_ = _WHOLE if whole else _WHOLE + _FRACTION
    if bound.value < 0 or (bound.value == 0 and bound.open):
        return f"-({_at_least(Bound(-bound.value, bound.open), whole)})"
    above_zero = _at_most(bound, whole)
    return f"-{any_}|{above_zero}" if above_zero else f"-{any_}"


def _at_least(bound: Bound, whole: bool) -> str:
    """Magnitudes: neither the bound nor they are below zero."""
    if whole:
        return _whole_at_least(floor(bound.value) + 1 if bound.open else ceil(bound.value))
    integer, decimals = _parts(bound.value)
    beyond = f"({_whole_at_least(integer + 1)}){_FRACTION}"
    if decimals:
        return f"{beyond}|{integer}\\.{_digits_at_least(decimals, bound.open)}"
    return f"{beyond}|{integer}" + (r"\.[0-9]*[1-9][0-9]*" if bound.open else _FRACTION)


def _at_most(bound: Bound, whole: bool) -> str:
    """Empty where there is none."""
    if whole:
        last = ceil(bound.value) - 1 if bound.open else floor(bound.value)
        return _whole_at_most(last) if last >= 0 else ""
    integer, decimals = _parts(bound.value)
    options = [f"({_whole_at_most(integer - 1)}){_FRACTION}"] if integer else []
    if decimals:
        options.append(f"{integer}(\\.{_digits_at_most(decimals, bound.open)})?")
    elif not bound.open:
        options.append(rf"{integer}(\.0+)?")
    return "|".join(options)


def _whole_at_least(number: int) -> str:
    if number <= 0:
        return _WHOLE
    digits = str(number)
    return f"{_as_long(digits, up=True)}|[1-9][0-9]{{{len(digits)},}}"


def _whole_at_most(number: int) -> str:
    digits = str(number)
    if len(digits) == 1:
        return f"[0-{digits}]"
    return f"{_as_long(digits, up=False, least=1)}|0|[1-9][0-9]{{0,{len(digits) - 2}}}"


def _as_long(digits: str, *, up: bool, least: int = 0) -> str:
    """Digits, as many as these, from these on or up to these; the first is ``least`` at least. What it takes grows with
    their number, and the nesting with a part of it."""
    head, rest = digits[:_BLOCK], digits[_BLOCK:]
    options = [f"{head}({_as_long(rest, up=up)})" if rest else head]
    for place, digit in enumerate(head):
        low, high = (int(digit) + 1, 9) if up else (0 if place else least, int(digit) - 1)
        if low <= high:
            options.append(f"{head[:place]}[{low}-{high}][0-9]{{{len(digits) - place - 1}}}")
    return "|".join(options)


def _digits_at_least(digits: str, open_: bool) -> str:
    """Decimals of numbers from 0.DIGITS, whose last is no zero."""
    last = r"[0-9]*[1-9][0-9]*" if open_ else "[0-9]*"
    options = [digits + last]
    for place, digit in enumerate(digits):
        if digit != "9":
            options.append(f"{digits[:place]}[{int(digit) + 1}-9][0-9]*")
    return f"({'|'.join(options)})"


def _digits_at_most(digits: str, open_: bool) -> str:
    """Decimals of numbers up to 0.DIGITS, whose last is no zero."""
    options = [] if open_ else [f"{digits}0*"]
    for place, digit in enumerate(digits):
        if digit != "0":
            options.append(f"{digits[:place]}[0-{int(digit) - 1}][0-9]*")
        if place:
            options.append(digits[:place])
    return f"({'|'.join(options)})"


def _parts(value: Fraction) -> tuple[int, str]:
    """The integer and the decimals of a magnitude."""
    integer, _, decimals = _decimal(value).partition(".")
    return int(integer), decimals


def _decimal(value: Fraction) -> str:
    """Its digits, of which there is an end."""
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)
