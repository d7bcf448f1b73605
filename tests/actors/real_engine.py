"""The real backend behind its actors, in this process, and requests of a tiny model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from actors.http.options import HttpOptions
from actors.system import open_system, running
from engine.config import EngineConfig
from protocol.client import Client, connect
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from tests.support.gguf_factory import write_tiny_model


@asynccontextmanager
async def real_client(
    tmp_path: Path, socket_path: Path | None = None, http: HttpOptions | None = None
) -> AsyncIterator[Client]:
    nothing = tmp_path / "nothing"
    config = EngineConfig(
        models_dir=tmp_path,
        cache_dir=tmp_path / "cache",
        data_dir=tmp_path,
        powercap_root=nothing,
        power_pmu_root=nothing,
        hwmon_root=nothing,
    )
    system = open_system(config, socket_path=socket_path, http=http)
    async with running(system), system.client() if socket_path is None else connect(socket_path) as client:
        yield client


def request(model: Path, prompt: str = "Hello", max_tokens: int = 8, backend: str = "reference") -> RunRequest:
    execution = ExecutionRequest(backend=backend, threads=1, limits=Limits(max_tokens=max_tokens))
    return RunRequest(model=str(model), prompt=prompt, execution=execution)


def long_request(tmp_path: Path) -> RunRequest:
    slow = write_tiny_model(tmp_path / "slow.gguf", n_layer=8, n_embd=256, n_ff=1024, context_length=8192)
    execution = ExecutionRequest(backend="reference", threads=1, limits=Limits(max_tokens=8000), stop=Stop(eos=False))
    return RunRequest(model=str(slow), prompt="Hello", execution=execution)
