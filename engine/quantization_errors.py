"""What the quantizer refuses, as the errors a client knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine import _core
from protocol.errors import InvalidModel, OutOfMemoryBudget, UnsupportedModel


@contextmanager
def quantization_errors(model: str) -> Iterator[None]:
    """Raises InvalidModel, UnsupportedModel, OutOfMemoryBudget in place of the quantizer's own; lets others pass."""
    try:
        yield
    except (_core.UnquantizableTensorError, _core.GgufError) as error:
        raise InvalidModel(f"{model} cannot be quantized: {error}", model=model) from error
    except _core.UnsupportedModelError as error:
        raise UnsupportedModel(f"{model} cannot be quantized: {error}", model=model) from error
    except MemoryError as error:
        raise OutOfMemoryBudget(f"no memory left to quantize {model}", model=model) from error
