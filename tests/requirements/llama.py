"""The documents' ``llama3-8b`` here: a tiny model of random weights, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from tests.support.gguf_factory import write_tiny_model

NAME = "llama3-8b"
TDP_WATTS = 65.0


def write_llama(folder: Path) -> Path:
    """Two layers as wide as K-quants ask for, a context that holds seconds of computing, and a vocabulary of words."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_tiny_model(folder / f"{NAME}.gguf", n_embd=256, n_ff=512, context_length=8192)


def environment(folder: Path) -> dict[str, str]:
    """An engine that keeps everything in ``folder``, on a machine where nothing measures energy."""
    places = {"MODELS_DIR": "models", "CACHE_DIR": "cache", "DATA_DIR": "data"}
    nothing = dict.fromkeys(("POWERCAP_ROOT", "POWER_PMU_ROOT", "HWMON_ROOT"), "nothing")
    return {f"ENGINE_{name}": str(folder / place) for name, place in (places | nothing).items()}


DECLARED = {"ENGINE_ENERGY_SOURCE": "model", "ENGINE_TDP_WATTS": str(TDP_WATTS)}
"""What an operator adds where nothing measures, so that the documents' limits in watts can be kept to."""
