"""What one rendering of a chat template may take, and what its steps cost."""

from __future__ import annotations

import time
from collections.abc import ItemsView, KeysView, ValuesView
from contextvars import ContextVar
from types import MethodType

from jinja2 import TemplateError

_CPU_SECONDS = 0.5
_UNITS = 1 << 25
"""One unit is one character or one element made."""
_PLACE_UNITS = 8
"""Units of a place in a list."""
ELEMENT_UNITS = 64
"""Units of a value of its own in a list: a string takes 50 bytes beside its characters."""
_OPERATION_UNITS = 32
_INPUT_ALLOWANCE = 16
"""Units more for each character of the messages: a template may well trim, compare and join them."""
_LARGEST_STEP = 1 << 24
"""Units of one step: no other thread has its turn before it ends, which takes milliseconds."""
_LONGEST_TEXT = 1 << 22
"""Characters of a text, for the same reason: each step that reads it takes as long."""
_STEP_ALLOWANCE = 8
_TEXT_ALLOWANCE = 2
"""Factors of the characters of the messages, for where those are more."""
_LARGEST_INTEGER_BITS = 4096
"""Bits of a number that is made or printed; arguments of calls may well hold some beyond 64."""


class Budget:
    """What one rendering may still do."""

    def __init__(self, input_characters: int) -> None:
        self._units = _UNITS + _INPUT_ALLOWANCE * input_characters
        self._largest_step = max(_LARGEST_STEP, _STEP_ALLOWANCE * input_characters)
        self._longest_text = max(_LONGEST_TEXT, _TEXT_ALLOWANCE * input_characters)
        self._deadline = time.thread_time() + _CPU_SECONDS

    def charge(self, units: int) -> None:
        """Raises TemplateError where the budget does not hold that much."""
        self._units -= units + _OPERATION_UNITS
        if self._units < 0 or units > self._largest_step or time.thread_time() > self._deadline:
            raise TemplateError("it does too much: its output, memory or time is over the limit")

    def charge_value(self, value: object) -> None:
        """Charge all that printing ``value`` could make: a list that holds one list twice counts it twice.

        What is not told apart here prints a line at most: iterators, ranges, functions, macros and loops, and
        namespaces as templates have them.
        """
        pending = [value]
        while pending:
            match pending.pop():
                case str() | bytes() as text:
                    self.charge(len(text) if len(text) <= self._longest_text else self._largest_step + 1)
                case list() | tuple() | set() | frozenset() as items:
                    self.charge(_PLACE_UNITS * len(items))
                    pending += items
                case dict() as mapping:
                    self.charge(ELEMENT_UNITS * len(mapping))
                    pending += [*mapping.keys(), *mapping.values()]
                case KeysView() | ValuesView() | ItemsView() as view:
                    self.charge(ELEMENT_UNITS * len(view))
                    pending += view
                case MethodType() as method:  # prints what it is a method of
                    pending.append(method.__self__)
                case int() as number if number.bit_length() > _LARGEST_INTEGER_BITS:
                    raise TemplateError("it computes with numbers of absurd size")
                case _:
                    self.charge(0)


BUDGET: ContextVar[Budget] = ContextVar("BUDGET")
"""Set around each rendering."""
