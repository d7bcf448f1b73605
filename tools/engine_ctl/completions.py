"""Words that a shell offers at Tab. Nothing is started for them: a folder is read, or a running engine asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from engine_ctl.model_aliases import aliases
from protocol.errors import EngineError

Complete = Callable[[click.Context, click.Parameter, str], list[str]]

QUANTIZATIONS = ("native", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_k_s", "q4_0", "iq4_xs", "q3_k_m")
POLICIES = ("default", "latency", "cost", "energy", "latency_energy_balanced")
KV_CACHES = ("f16", "q8_0")
BACKENDS = ("cpu_avx512", "cpu_amx", "cpu_avx_vnni", "cpu_avx2", "reference")
_PATIENCE_S = 1.0


def among(*words: str) -> Complete:
    """Those of the words that begin as the incomplete one does."""
    return lambda ctx, parameter, incomplete: [word for word in words if word.startswith(incomplete)]


def complete_model(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of models that are here, the aliases too. Paths are the shell's own to complete."""
    return sorted(name for name in models_here() if name.lower().startswith(incomplete.lower()))


def models_here() -> set[str]:
    """Names of models that are here, the aliases too."""
    return {*aliases(), *_names_in(_models_dir())}


def complete_first_word(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The same for words of which the first is the model."""
    said = ctx.params.get(parameter.name or "") or ctx.params.get("model")
    return [] if said else complete_model(ctx, parameter, incomplete)


def complete_execution(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Ids of the latest executions, where an engine runs."""
    from protocol.blocking import BlockingClient
    from protocol.requests import ListExecutions

    try:
        with BlockingClient.connect(ctx.params.get("socket"), timeout=_PATIENCE_S) as client:
            listed = client.ask(ListExecutions()).executions
    except EngineError:
        return []
    return [each.execution_id for each in listed if each.execution_id.startswith(incomplete)]


def _models_dir() -> Path:
    if named := os.environ.get("ENGINE_MODELS_DIR", ""):
        return Path(named).expanduser()
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home else Path.home() / ".local" / "share") / "engine" / "models"


def _names_in(folder: Path) -> list[str]:
    own = [path.stem for path in folder.glob("*.gguf")]
    hub = [f"hf:{path.relative_to(folder / 'hf')}" for path in folder.glob("hf/*/*/*.gguf")]
    return [*own, *hub]
