"""What requests have in common that have a model read texts, and answer none."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from protocol.plan import PositiveInt
from protocol.quantization import QuantizationName
from protocol.value import Value


class PrefillRequest(Value):
    """Fields left out are decided as for a run."""

    model: Annotated[str, Field(min_length=1, max_length=4096)]
    quantization: QuantizationName = "native"
    backend: str | None = None
    kv_cache: str = "f16"
    threads: PositiveInt | None = None
    memory_mb: PositiveInt | None = None
    """For weights, KV cache and buffers together, in MB of 10^6 bytes."""
