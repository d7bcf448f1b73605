"""``auton.toml``: what the operator decides. Keys of providers are no part of it: they come from the environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from auton.errors import AutonError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Role = Literal["manager", "developer", "reviewer", "tester"]
Architecture = Literal["x86_64", "aarch64", "riscv64"]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
ROLES: tuple[Role, ...] = ("manager", "developer", "reviewer", "tester")
_SECRETS = ("api_key", "apikey", "token", "secret", "password")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class LlmSettings(_Section):
    """The model of all roles that name none, by LiteLLM's names."""

    model: str = "anthropic/claude-opus-4-6"
    max_tokens: Count = 16_384
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    api_base: str | None = None
    """Where a provider listens that has no address of its own, such as this engine."""


class RoleModels(_Section):
    """A model for each role; ``None``: that of ``[llm]``."""

    manager: str | None = None
    developer: str | None = None
    reviewer: str | None = None
    tester: str | None = None


class AgentSettings(_Section):
    """How many work side by side."""

    developer_count: Annotated[int, Field(ge=1, le=64)] = 4
    reviewer_count: Annotated[int, Field(ge=1, le=64)] = 1
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    """How often a task is developed before it is given up."""
    models: RoleModels = RoleModels()


class KernelSettings(_Section):
    """What is built."""

    arch: Architecture = "x86_64"


class ValidationSettings(_Section):
    """How long building and testing may take, and by which commands; each runs in isolation alone."""

    build_timeout: Seconds = 120
    test_timeout: Seconds = 60
    composition_checks: bool = True
    """Whether what was merged is built after each merge, and a merge that breaks it is taken back."""
    build_command: tuple[str, ...] = ()
    """``{arch}`` and ``{cross}`` become the architecture and the prefix of its compiler. Empty: nothing is built."""
    test_command: tuple[str, ...] = ()
    kernel: str = ""
    """What the build makes, with ``{arch}`` in it: a test boots it in QEMU. Empty: there is none to boot."""
    serial_expect: str = ""
    """What the kernel says on its serial line. A boot succeeds with it, and fails without by the end of its time."""

    @model_validator(mode="after")
    def _is_awaited(self) -> Self:
        if bool(self.kernel) != bool(self.serial_expect):
            raise ValueError("kernel and serial_expect go together: what is booted, and what it must say")
        return self

    @property
    def runs_something(self) -> bool:
        """Whether there is anything that needs isolation."""
        return bool(self.build_command or self.test_command or self.kernel)


class SlmTrainingSettings(_Section):
    """The configuration, as ``slm train`` takes it."""

    batch_size: Count = 32
    learning_rate: Amount = 1e-4
    max_steps: Count = 10_000


class SlmSettings(_Section):
    """The kernel's own small model."""

    model_size: Literal["tiny_10M", "small_50M", "medium_150M", "large_500M"] = "tiny_10M"
    backend: Literal["rule_engine", "neural_backend"] = "rule_engine"
    quantization: Literal["int4", "int8", "fp16"] = "int4"
    training: SlmTrainingSettings = SlmTrainingSettings()
    intents: dict[str, tuple[str, ...]] = {}
    """Wants that a text may have, each with words that speak for it."""


class BudgetSettings(_Section):
    """What a run may use; ``None``: no limit."""

    calls: Count | None = 200
    tokens: Count | None = 2_000_000
    joules: Amount | None = None
    """Known from this engine where it measures energy. A provider that says none cannot be held to a limit."""
    minutes: Amount | None = 60


class Settings(_Section):
    """All of ``auton.toml``."""

    llm: LlmSettings = LlmSettings()
    agents: AgentSettings = AgentSettings()
    kernel: KernelSettings = KernelSettings()
    validation: ValidationSettings = ValidationSettings()
    slm: SlmSettings = SlmSettings()
    budget: BudgetSettings = BudgetSettings()

    def model_of(self, role: Role) -> str:
        """The model that a role asks."""
        named: str | None = getattr(self.agents.models, role)
        return named or self.llm.model


def load_settings(path: Path) -> Settings:
    """Read the file; defaults where there is none. Raises AutonError: it is not valid, or holds a secret."""
    if not path.exists():
        return Settings()
    try:
        return parse_settings(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, AutonError) as error:
        raise AutonError(f"{path}: {error}") from error


def parse_settings(text: str) -> Settings:
    """The same from text."""
    try:
        content = tomllib.loads(text)
        _refuse_secrets(content, "")
        return Settings.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        raise AutonError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    except RecursionError as error:
        raise AutonError("it is nested too deeply") from error
    except ValueError as error:  # such as tomllib's own, or a number of too many digits
        raise AutonError(str(error)) from error


def _refuse_secrets(content: dict[str, Any], place: str) -> None:
    for key, value in content.items():
        if key.lower().replace("-", "_") in _SECRETS:
            raise AutonError(f"{place}{key}: secrets come from the environment (such as OPENAI_API_KEY), never a file")
        if isinstance(value, dict):
            _refuse_secrets(value, f"{place}{key}.")
