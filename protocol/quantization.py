"""The types that weights run in."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator

Quantization = Literal["native", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_k_s", "q4_0", "iq4_xs", "q3_k_m"]
QUANTIZATIONS: Final[tuple[Quantization, ...]] = get_args(Quantization)
QuantizationName = Annotated[str, AfterValidator(str.lower)]
"""A quantization as a request names it, in capitals or not; one that is unknown has an error of its own."""
RECIPES: Final[tuple[Quantization, ...]] = QUANTIZATIONS[1:]
"""Every quantization but ``native``: what tensors can be made into."""
