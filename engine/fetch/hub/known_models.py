"""Short names of small models on the hub that answer well for their size. A short name is a reference and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class KnownModel:
    """What is told of a model before it is here. What is pulled is what the hub has under the reference."""

    name: str
    reference: str
    """``hf:OWNER/REPO:QUANTIZATION``."""
    size_bytes: int
    """The size that its repository tells, rounded."""
    architecture: str
    parameters: int
    """Rounded."""
    licence: str


_MB: Final = 10**6

KNOWN_MODELS: Final = (
    KnownModel(
        "smollm2-360m-instruct",
        "hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF:Q8_0",
        386 * _MB,
        "llama",
        362 * _MB,
        "apache-2.0",
    ),
    KnownModel(
        "smollm2-1.7b-instruct",
        "hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF:Q4_K_M",
        1_060 * _MB,
        "llama",
        1_710 * _MB,
        "apache-2.0",
    ),
    KnownModel(
        "qwen2.5-0.5b-instruct",
        "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M",
        491 * _MB,
        "qwen2",
        494 * _MB,
        "apache-2.0",
    ),
    KnownModel(
        "qwen2.5-1.5b-instruct",
        "hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF:Q4_K_M",
        1_117 * _MB,
        "qwen2",
        1_544 * _MB,
        "apache-2.0",
    ),
    KnownModel(
        "qwen2.5-coder-0.5b-instruct",
        "hf:Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF:Q4_K_M",
        491 * _MB,
        "qwen2",
        494 * _MB,
        "apache-2.0",
    ),
    KnownModel(
        "qwen2.5-coder-1.5b-instruct",
        "hf:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF:Q4_K_M",
        1_117 * _MB,
        "qwen2",
        1_544 * _MB,
        "apache-2.0",
    ),
    KnownModel("qwen3-0.6b", "hf:Qwen/Qwen3-0.6B-GGUF:Q8_0", 639 * _MB, "qwen3", 596 * _MB, "apache-2.0"),
    KnownModel("qwen3-1.7b", "hf:Qwen/Qwen3-1.7B-GGUF:Q8_0", 1_834 * _MB, "qwen3", 1_721 * _MB, "apache-2.0"),
    KnownModel("qwen3-4b", "hf:Qwen/Qwen3-4B-GGUF:Q4_K_M", 2_500 * _MB, "qwen3", 4_022 * _MB, "apache-2.0"),
    KnownModel("gemma-3-270m-it", "hf:ggml-org/gemma-3-270m-it-GGUF:Q8_0", 292 * _MB, "gemma3", 268 * _MB, "gemma"),
    KnownModel("gemma-3-1b-it", "hf:ggml-org/gemma-3-1b-it-GGUF:Q4_K_M", 806 * _MB, "gemma3", 1_000 * _MB, "gemma"),
    KnownModel(
        "llama-3.2-1b-instruct",
        "hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
        808 * _MB,
        "llama",
        1_236 * _MB,
        "llama3.2",
    ),
    KnownModel(
        "llama-3.2-3b-instruct",
        "hf:bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M",
        2_019 * _MB,
        "llama",
        3_213 * _MB,
        "llama3.2",
    ),
)


def known_model(name: str) -> KnownModel | None:
    """The model of that short name, in any case."""
    return next((model for model in KNOWN_MODELS if model.name == name.lower()), None)
