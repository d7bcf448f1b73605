"""What the quantizer refuses, as the errors a client knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine import _core
from engine.host.changed_file import changed_file
from protocol.errors import ExecutionCancelled, InvalidModel, OutOfMemoryBudget, UnsupportedModel


@contextmanager
def quantization_errors(model: str) -> Iterator[None]:
    """Translates the quantizer's errors: InvalidModel, UnsupportedModel, OutOfMemoryBudget, ExecutionCancelled."""
    try:
        yield
    except _core.ChangedFileError as error:
        raise changed_file(model) from error
    except (_core.UnquantizableTensorError, _core.GgufError) as error:
        raise InvalidModel(f"{model} cannot be quantized: {error}", model=model) from error
    except _core.UnsupportedModelError as error:
        raise UnsupportedModel(f"{model} cannot be quantized: {error}", model=model) from error
    except _core.CancelledError as error:
        raise ExecutionCancelled(f"the quantization of {model} was cancelled", model=model) from error
    except MemoryError as error:
        raise OutOfMemoryBudget(f"no memory left to quantize {model}", model=model) from error
