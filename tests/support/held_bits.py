"""The models on which the tests hold every kernel table, number of threads, chunk and company to the same bits."""

from __future__ import annotations

from itertools import product
from typing import Final

PLAIN: Final = ("llama", "qwen2")
"""The architectures that are held to them in most types and sizes of batches: what the others share."""
PLAIN_TYPES: Final = (
    "F32", "F16", "Q8_0", "Q4_1", "Q5_0", "Q4_K", "Q6_K", "Q2_K", "Q3_K", "IQ4_NL", "IQ4_XS", "MXFP4",
    "IQ2_XXS", "TQ2_0",
)  # fmt: skip
PLAIN_BATCHES: Final = (1, 2, 3, 5, 8, 16)
EVERY_TYPE: Final = "Q8_0"
"""The type in which a model of every architecture and setting is held to them."""
TYPES: Final = ("F32", "Q8_0", "Q5_0", "Q4_K", "Q6_K", "IQ4_XS", "IQ2_XXS", "MXFP4")
KINDS: Final = ("qwen3", "gemma2", "gemma3", "qwen2moe", "phi2", "gpt-oss", "deepseek2", "lfm2")
"""Dense, with windows (and soft caps), with experts and one that all share; attention and feed-forward side by side;
sinks and experts with biases; latent heads and groups of experts; short convolutions.
"""
COMBINATIONS: Final = (
    *product(("qwen3", "qwen2moe"), TYPES),
    *product(("gemma2", "gemma3"), ("F32", "Q8_0", "Q4_K")),
)
"""Every type without experts and with them; what windows and soft caps add lies above the products."""
BATCHES: Final = (2, 4, 5, 16)
"""Sizes in which models of ``KINDS`` decode side by side."""
ENCODERS: Final = (("bert", "F32"), ("nomic_bert", "Q8_0"), ("gemma_embedding", "Q8_0"))
"""Models that read texts whole, by their names in ``encoder_models.CASES``."""
