"""LiteLLM's proxy in front of three engines, by the configuration that is shipped: one engine is killed under load."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.http_engine import HERMES, REPOSITORY, TINY, HttpEngine, serving_http
from tests.support.gguf_factory import write_tiny_model
from tests.support.proxied_conversations import (
    QUESTIONS,
    Front,
    assert_no_request_is_lost,
    free_port,
    wait_until_served,
)

pytest.importorskip("litellm", reason="make test-clients runs it")

KEY = "sk-of-this-test-alone-and-long-enough"
PORTS = (8081, 8082, 8083)
SHIPPED = "openai/smollm2-135m-instruct"


@pytest.fixture
def engines(own_records: None) -> Iterator[tuple[HttpEngine, ...]]:
    # A socket's path must be short; folders of pytest's own are not.
    with tempfile.TemporaryDirectory(prefix="engine-") as name, ExitStack() as held:
        folder = Path(name)
        (folder / "models").mkdir()
        path = folder / "models" / f"{TINY}.gguf"
        write_tiny_model(path, n_embd=512, n_ff=1024, context_length=2048, chat_template=HERMES)
        found = []
        for number in range(len(PORTS)):
            own = folder / str(number)
            own.mkdir(mode=0o700)
            places = {"ENGINE_MODELS_DIR": str(folder / "models"), "ENGINE_CACHE_DIR": str(folder / "cache")}
            places |= {"ENGINE_DATA_DIR": str(own / "data")}
            found.append(held.enter_context(serving_http(own, env={**os.environ, **places})))
        yield tuple(found)


@pytest.fixture
def front(engines: tuple[HttpEngine, ...], tmp_path: Path) -> Iterator[Front]:
    text = (REPOSITORY / "packaging" / "proxies" / "litellm.yaml").read_text(encoding="utf-8")
    assert SHIPPED in text
    text = text.replace(SHIPPED, f"openai/{TINY}")
    for port, engine in zip(PORTS, engines, strict=True):
        assert f"http://127.0.0.1:{port}/" in text
        text = text.replace(f"http://127.0.0.1:{port}/", f"{engine.url}/")
    config, log, port = tmp_path / "config.yaml", tmp_path / "log", free_port()
    config.write_text(text)
    command = Path(sys.executable).with_name("litellm")
    arguments = [str(command), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "LITELLM_MASTER_KEY": KEY}  # it does not start without one
    with (
        log.open("w") as told,
        subprocess.Popen(arguments, stdout=told, stderr=told, cwd=tmp_path, env=environment) as process,  # noqa: S603
    ):
        try:
            made = Front(
                f"http://127.0.0.1:{port}", "smollm2", "x-litellm-model-id", {"Authorization": f"Bearer {KEY}"}
            )
            wait_until_served(made, seconds=60)
            yield made
        finally:
            process.kill()


def in_session(front: Front, name: str) -> Front:
    return replace(front, headers={**front.headers, "x-litellm-session-id": name})


def test_sessions_stay_with_an_engine_and_no_request_is_lost_when_one_is_killed(
    front: Front, engines: tuple[HttpEngine, ...]
) -> None:
    found = {}
    for question in QUESTIONS:
        session = in_session(front, question)
        first = session.ask(question)
        reply = ({"role": "assistant", "content": first.text}, {"role": "user", "content": "And the next?"})
        assert {session.ask(question).engine, session.ask(question, *reply).engine} == {first.engine}
        found[question] = first.engine
    assert len(set(found.values())) > 1
    lost = found[QUESTIONS[0]]
    engine = engines[int(lost.removeprefix("engine-")) - 1]
    assert_no_request_is_lost(front, engine.process.kill)
    assert {in_session(front, question).ask(question).engine for question in QUESTIONS} <= set(found.values()) - {lost}
