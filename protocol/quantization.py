"""The types that weights run in."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator

Quantization = Literal["native", "q8_0", "q6_k", "q4_k_m"]
QUANTIZATIONS: Final[tuple[Quantization, ...]] = get_args(Quantization)
QuantizationName = Annotated[str, AfterValidator(str.lower)]
"""A quantization as a request names it, in capitals or not; one that is unknown has an error of its own."""
RECIPES: tuple[Quantization, ...] = ("q8_0", "q6_k", "q4_k_m")
"""Every quantization but ``native``: what tensors can be made into."""
