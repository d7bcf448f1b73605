"""Panics of libraries written in Rust. They reach Python as an exception that is no ``Exception``: what is meant to
outlive the faults of one request would not outlive these.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_MODULE: Final = "pyo3_runtime"
"""Each library has a class of its own in it, and none can be imported."""


class PanicError(Exception):
    """A library met what its authors thought impossible; the message is its own."""


def panics_contained(work: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The same, raising PanicError where a library panics."""

    @wraps(work)
    def contained(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return work(*args, **kwargs)
        except BaseException as error:
            if type(error).__module__ != _MODULE:
                raise
            raise PanicError(str(error)) from error

    return contained
