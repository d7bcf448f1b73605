"""Typed access to a GGUF's keys: a missing or mistyped one is the file's fault, and is named."""

from __future__ import annotations

from typing import Any

from engine import _core
from protocol.errors import InvalidModel


class Metadata:
    """The keys of one file. Every method raises InvalidModel where a value is not of the type asked for."""

    def __init__(self, gguf: _core.GgufFile) -> None:
        self._gguf = gguf

    def string(self, key: str) -> str:
        """A string. Raises InvalidModel where it is missing or no string."""
        value = self.string_or_none(key)
        if value is None:
            raise self._missing(key)
        return value

    def string_or_none(self, key: str) -> str | None:
        """A string, or ``None`` where it is missing. Raises InvalidModel where it is no string."""
        value = self._gguf.get(key)
        if value is not None and not isinstance(value, str):
            raise self._mistyped(key, value, "a string")
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """A boolean, or ``default`` where it is missing. Raises InvalidModel where it is none."""
        value = self._gguf.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._mistyped(key, value, "a boolean")
        return default if value is None else value

    def positive(self, key: str, default: int | None = None) -> int:
        """A whole number of 1 or more; ``default`` where the key is absent, which is an error without one."""
        value = self._gguf.get(key)
        value = default if value is None else value
        if value is None:
            raise self._missing(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._mistyped(key, value, "a positive whole number")
        return value

    def whole_or_none(self, key: str) -> int | None:
        """A whole number of 0 or more; ``None`` where the key is absent."""
        value = self._gguf.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise self._mistyped(key, value, "a whole number")
        return value

    def token_id(self, key: str, vocab_size: int) -> int | None:
        """The id of a token of this vocabulary; ``None`` where the key is absent, or -1 or all ones: no such token."""
        value = self._gguf.get(key)
        if value is None or value in (-1, 2**32 - 1):
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < vocab_size:
            raise self._mistyped(key, value, f"a token id below {vocab_size}")
        return value

    def array(self, key: str, element: type, length: int | None = None) -> list[Any]:
        """An array of ``element``, of ``length`` where one is given."""
        value = self._gguf.get(key)
        if value is None:
            raise self._missing(key)
        if not isinstance(value, list) or not isinstance(next(iter(value), element()), element):
            raise self._mistyped(key, value, f"an array of {element.__name__}")
        if length is not None and len(value) != length:
            raise InvalidModel(f"{self._gguf.path}: {key} has {len(value)} entries, not {length}", key=key)
        return value

    def numbers(self, key: str, length: int) -> list[int] | list[float]:
        """An array of numbers, whole or not."""
        value = self._gguf.get(key)
        whole = isinstance(value, list) and isinstance(next(iter(value), 0.0), int)
        return self.array(key, int if whole else float, length)

    def __contains__(self, key: str) -> bool:
        return key in self._gguf

    def _missing(self, key: str) -> InvalidModel:
        return InvalidModel(f"{self._gguf.path}: the key {key} is missing", key=key)

    def _mistyped(self, key: str, value: object, expected: str) -> InvalidModel:
        shown = repr(value) if not isinstance(value, list) else f"an array of {len(value)}"
        return InvalidModel(f"{self._gguf.path}: {key} is {shown:.80}, not {expected}", key=key)
