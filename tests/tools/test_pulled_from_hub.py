"""From the hub to an answer and away again: the real engine, and a hub on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from protocol.blocking import BlockingClient
from protocol.requests import PullModel, Status
from tests.engine.hub_server import HubServer, Repository
from tests.engine.hub_stage import point_at
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import engine_ctl, start_engine_ctl

NAME = "hf:owner/tiny-GGUF/tiny.gguf"
TOKEN = "hf_a_token_that_nobody_may_see"  # noqa: S105  of nobody


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    content = write_tiny_model(tmp_path / "tiny.gguf").read_bytes()
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    with HubServer() as hub:
        point_at(hub.endpoint, tmp_path, monkeypatch)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        hub.repositories["owner/tiny-GGUF"] = Repository({"tiny.gguf": content}, token=TOKEN)
        yield hub


@pytest.fixture
def serving(socket_path: Path, hub: HubServer) -> Iterator[BlockingClient]:
    with start_engine_ctl("serve", "--socket", str(socket_path)) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == f"listening on {socket_path}\n"
            with BlockingClient.connect(socket_path, timeout=60) as client:
                yield client
        finally:
            process.kill()
            assert process.stderr is not None
            assert TOKEN not in process.stderr.read()


def test_a_model_is_pulled_listed_run_and_removed(serving: BlockingClient, socket_path: Path, tmp_path: Path) -> None:
    def ctl(*arguments: str) -> Result:
        return engine_ctl(*arguments, "--socket", str(socket_path))

    pulled = ctl("models", "pull", "hf:owner/tiny-gguf")
    place = tmp_path / "models" / "hf" / "owner" / "tiny-GGUF" / "tiny.gguf"
    assert (pulled.exit_code, pulled.stdout, pulled.stderr) == (0, f"{place}\n", f"its name is {NAME}\n")
    listed = json.loads(ctl("models", "ls", "--json").stdout)["models"]
    (mine,) = [model for model in listed if model["source"] == "hub" and model["installed"]]
    assert (mine["name"], mine["installed"], mine["architecture"]) == (NAME, True, "llama")
    assert ctl("models", "rm", NAME, "--yes").exit_code == 0
    assert not place.exists()
    assert ctl("run", "--model", NAME, "--prompt", "Once").exit_code == 4
    ctl("models", "pull", NAME)
    answered = ctl("run", "--model", NAME, "--prompt", "Once", "--max-tokens", "4", "--json")
    assert json.loads(answered.stdout)["plan"]["model_ref"]["name"] == NAME
    assert [model.model for model in serving.ask(Status()).models_loaded] == [NAME]
    assert ctl("models", "rm", "tiny", "--yes").exit_code == 0
    assert (place.exists(), serving.ask(Status()).models_loaded) == (False, ())


def test_a_client_that_goes_ends_its_pull_and_the_next_one_goes_on(
    serving: BlockingClient, hub: HubServer, socket_path: Path
) -> None:
    size = len(hub.repositories["owner/tiny-GGUF"].files["tiny.gguf"])
    hub.mishaps.hold_after = size // 2
    with BlockingClient.connect(socket_path) as client:
        for message in client.follow(PullModel(model=NAME)):
            if message.type == "Progress" and message.done > 0:
                break
    for _ in range(50):  # by then the engine has long heard that the client is gone
        serving.ask(Status())
    hub.mishaps.may_go_on.set()
    hub.mishaps.hold_after = None
    *_, described = serving.follow(PullModel(model=NAME))
    assert described.type == "ModelDescription"
    first, second = hub.ranges()
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) < size


def test_only_a_pull_imports_the_hubs_library(hub: HubServer, tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    arguments = ["run", "--model", str(model), "--prompt", "Once", "--max-tokens", "2", "--json"]
    program = f"""
import sys
from engine_ctl.main import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0
main(["models", "ls", "--socket", "{tmp_path}/none"], standalone_mode=False)
assert "engine._core" in sys.modules
print("huggingface_hub" in sys.modules, file=sys.stderr)
"""
    process = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stderr.splitlines()[-1] == "False"
