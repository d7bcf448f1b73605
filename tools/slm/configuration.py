"""Configurations of models and their training: the four that are shipped, and TOML files of one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from slm.errors import SlmError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "configurations"
SHIPPED = ("tiny_10M", "small_50M", "medium_150M", "large_500M")

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Architecture(_Section):
    """The shape of a model; the names are those that AUTON's configurations have."""

    vocab_size: Annotated[int, Field(ge=260, le=65_536)]
    """Most tokens: a small corpus gives fewer. Shards hold a token in 16 bits."""
    hidden_size: Positive
    num_layers: Positive
    num_attention_heads: Positive
    num_key_value_heads: Positive
    intermediate_size: Positive
    max_position_embeddings: Annotated[int, Field(ge=16)]
    rope_theta: Rate = 10_000.0
    norm_epsilon: Rate = 1e-5

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hidden_size % self.num_attention_heads or self.head_dim % 2:
            raise ValueError("hidden_size must be num_attention_heads times an even number")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads must be a multiple of num_key_value_heads")
        if self.hidden_size % 32 or self.intermediate_size % 32:
            raise ValueError("hidden_size and intermediate_size must be multiples of 32, a block of quantized weights")
        return self

    @property
    def head_dim(self) -> int:
        """Elements of a head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def parameters(self) -> int:
        """The number of weights; the head is the embedding's."""
        kv = self.num_key_value_heads * self.head_dim
        attention = 2 * self.hidden_size * (self.hidden_size + kv)
        layer = attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size
        return self.vocab_size * self.hidden_size + self.num_layers * layer + self.hidden_size


class TrainingOptions(_Section):
    """How a model is trained."""

    batch_size: Positive
    """Sequences for each pass; a step has ``gradient_accumulation_steps`` passes."""
    sequence_length: Annotated[int, Field(ge=8)]
    learning_rate: Rate
    max_steps: Positive
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    gradient_accumulation_steps: Positive = 1
    gradient_checkpointing: bool = False
    """Whether layers are computed again in the backward pass, which saves their memory."""
    optimizer: Literal["adamw"] = "adamw"
    scheduler: Literal["cosine"] = "cosine"
    precision: Literal["f32", "bf16"] = "bf16"
    """Precision of matrix products; weights and optimizer are f32."""
    seed: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: Positive = 1000
    eval_every: Positive = 500

    @property
    def tokens_per_step(self) -> int:
        """Tokens whose prediction a step learns from."""
        return self.batch_size * self.sequence_length * self.gradient_accumulation_steps


class Configuration(_Section):
    """A model and how it is trained."""

    name: str
    architecture: Architecture
    training: TrainingOptions

    @model_validator(mode="after")
    def _sequence_fits(self) -> Self:
        if self.training.sequence_length > self.architecture.max_position_embeddings:
            raise ValueError("training.sequence_length is over architecture.max_position_embeddings")
        return self


def load_configuration(name: str, **overrides: object) -> Configuration:
    """A shipped configuration by its name, or one in a file. ``overrides`` of ``[training]``; ``None`` changes nothing.

    Raises SlmError: there is no such configuration, or it is not valid.
    """
    path = FOLDER / f"{name}.toml" if name in SHIPPED else Path(name)
    if path.suffix in {".yaml", ".yml"}:
        raise SlmError(f"{name}: configurations here are TOML: the same names under [architecture] and [training]")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SlmError(f"no configuration {name}: there are {', '.join(SHIPPED)}, or give the path of a file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SlmError(f"{path}: {error}") from error
    changed = {field: value for field, value in overrides.items() if value is not None}
    if isinstance(training := content.get("training"), dict):
        training.update(changed)
    try:
        return Configuration.model_validate(content)
    except ValidationError as error:
        raise SlmError(f"{path}: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])
