"""``engine-ctl serve`` behind its walls: what it gave up, and what its owner's requests still reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.host import landlock
from protocol.answers import Finished
from protocol.blocking import BlockingClient
from protocol.errors import DownloadFailed, InvalidModel, InvalidRequest, NotPermitted, UnknownModel
from protocol.plan import RunRequest
from protocol.record import ExecutionRecord
from protocol.requests import PullModel, Quantize, Tokenize
from tests.support.ended_process import has_ended
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import serving

pytestmark = pytest.mark.skipif(
    landlock.version() < landlock.SCOPES_VERSION, reason="this kernel's Landlock does not give up all that is asked for"
)
_WALLS = {"files", "network", "processes", "system_calls"}


@contextmanager
def engine(socket: Path, folder: Path, *flags: str, **variables: str) -> Iterator[BlockingClient]:
    environment = {**os.environ, **variables}
    environment |= {f"ENGINE_{name}_DIR": str(folder / name.lower()) for name in ("MODELS", "CACHE", "DATA")}
    with serving(socket, "--http-socket", "off", *flags, env=environment), BlockingClient.connect(socket) as client:
        yield client


def recorded(client: BlockingClient, model: Path) -> ExecutionRecord:
    *_, last = client.run(RunRequest(model=str(model), prompt="a"))
    assert isinstance(last, Finished)
    return last.record


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model outside the engine's own folders."""
    path = tmp_path / "elsewhere" / "tiny.gguf"
    path.parent.mkdir()
    write_tiny_model(path)
    return path


def test_all_walls_stand_and_records_say_so(socket_path: Path, tmp_path: Path, model: Path) -> None:
    with engine(socket_path, tmp_path) as client:
        given_up = {name for name in client.welcome.capabilities if name.startswith("sandbox:")}
        record = recorded(client, model)

    assert given_up == {f"sandbox:{wall}" for wall in _WALLS}
    assert record.sandbox is not None
    assert (set(record.sandbox.in_force), record.sandbox.reason) == (_WALLS, None)


def test_an_engine_without_walls_is_told_from_one_with_them(socket_path: Path, tmp_path: Path, model: Path) -> None:
    with engine(socket_path, tmp_path, "--no-sandbox") as client:
        record = recorded(client, model)

    assert record.sandbox is not None
    assert (record.sandbox.in_force, record.sandbox.reason) == ((), "--no-sandbox")


def test_files_that_the_owner_names_are_read_and_written_through_the_walls(
    socket_path: Path, tmp_path: Path, model: Path
) -> None:
    output = tmp_path / "elsewhere" / "smaller.gguf"

    with engine(socket_path, tmp_path) as client:
        quantized = client.ask(Quantize(model=str(model), output=str(output), recipe="q8_0"))
        tokens = client.ask(Tokenize(model=str(output), text="a"))
        with pytest.raises(InvalidRequest, match="exists already"):
            client.ask(Quantize(model=str(model), output=str(output), recipe="q8_0"))

    assert output.stat().st_size == quantized.size_bytes
    assert tokens.token_ids
    assert sorted(path.name for path in output.parent.iterdir()) == ["smaller.gguf", "tiny.gguf"]


def test_what_is_no_users_file_is_not_opened(socket_path: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to("/proc/self/environ")

    with engine(socket_path, tmp_path) as client, pytest.raises(InvalidModel):
        client.ask(Tokenize(model=str(tmp_path / "model.gguf"), text="a"))


def test_models_only_takes_names_alone(socket_path: Path, tmp_path: Path, model: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_tiny_model(models / "named.gguf")

    with engine(socket_path, tmp_path, "--models-only") as client:
        assert client.ask(Tokenize(model="named", text="a")).token_ids
        with pytest.raises(NotPermitted, match="--models-only"):
            client.ask(Tokenize(model=str(model), text="a"))
        with pytest.raises(NotPermitted, match="--models-only"):
            client.ask(Quantize(model="named", output=str(tmp_path / "out.gguf"), recipe="q8_0"))
        with pytest.raises(UnknownModel, match="paths are not taken here"):
            client.ask(Tokenize(model="unnamed", text="a"))


def test_a_meters_command_runs_outside_the_walls(socket_path: Path, tmp_path: Path) -> None:
    joules = tmp_path / "elsewhere" / "joules"
    joules.parent.mkdir()
    joules.write_text("5 J")

    with engine(socket_path, tmp_path, ENGINE_ENERGY_METER_COMMAND=f"cat {joules}") as client:
        sources = {name for name in client.welcome.capabilities if name.startswith("energy_source:")}

    assert "energy_source:meter" in sources


def test_a_pull_reports_what_went_wrong_outside(socket_path: Path, tmp_path: Path) -> None:
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}

    with engine(socket_path, tmp_path, **nobody) as client, pytest.raises(DownloadFailed):
        client.ask(PullModel(model="hf:owner/repo/file.gguf"))


def test_the_broker_ends_with_an_engine_that_is_killed(socket_path: Path, tmp_path: Path) -> None:
    environment = os.environ | {f"ENGINE_{name}_DIR": str(tmp_path) for name in ("MODELS", "CACHE", "DATA")}
    with serving(socket_path, "--http-socket", "off", env=environment) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait()

    assert children
    assert all(has_ended(Path("/proc") / child) for child in children)
