"""A model of some 0.36 M parameters, its data, and a training of seconds."""

from __future__ import annotations

from pathlib import Path

from slm.configuration import Configuration
from slm.corpus.demonstration import demonstration
from slm.corpus.division import divide
from slm.corpus.prepared_data import PreparedData, prepare

SMALL: dict[str, dict[str, float]] = {
    "architecture": {
        "vocab_size": 512,
        "hidden_size": 128,
        "num_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 256,
        "max_position_embeddings": 128,
    },
    "training": {
        "batch_size": 8,
        "sequence_length": 64,
        "learning_rate": 3e-3,
        "warmup_steps": 10,
        "max_steps": 120,
        "checkpoint_every": 10,
        "eval_every": 20,
    },
}


def small_configuration(**training: object) -> Configuration:
    options = {**SMALL["training"], **training}
    return Configuration.model_validate({"name": "small", **SMALL, "training": options})


def write_small_configuration(path: Path, **training: object) -> Path:
    """The same as a file."""
    sections: dict[str, dict[str, object]] = {
        "architecture": {**SMALL["architecture"]},
        "training": {**SMALL["training"], **training},
    }
    lines = ['name = "small"']
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def small_data(folder: Path, documents: int = 600) -> PreparedData:
    prepare(divide(demonstration(0, documents), None, 0.05, seed=0), folder, "demonstration", 0, 512)
    return PreparedData(folder)
