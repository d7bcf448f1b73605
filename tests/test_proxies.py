"""The proxies' example configurations, with the programs themselves: three engines, one of them killed under load."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gguf_factory import write_tiny_model
from tests.support.proxied_conversations import (
    QUESTIONS,
    Front,
    assert_conversations_stay_with_their_engine,
    assert_no_request_is_lost,
    free_port,
    wait_until_served,
)
from tests.tools.command_line import serving

CONFIGURATIONS = Path(__file__).parents[1] / "packaging" / "proxies"
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
PORTS = (8081, 8082, 8083)
"""Those of the engines in the configurations; the proxy's own is 8080."""


@dataclass(frozen=True)
class Engines:
    ports: tuple[int, ...]
    processes: tuple[subprocess.Popen[str], ...]

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].wait()


@pytest.fixture
def engines(own_records: None) -> Iterator[Engines]:
    # A socket's path must be short; folders of pytest's own are not.
    with tempfile.TemporaryDirectory(prefix="engine-") as name, ExitStack() as held:
        folder = Path(name)
        (folder / "models").mkdir()
        path = folder / "models" / "tiny.gguf"
        write_tiny_model(path, n_embd=512, n_ff=1024, context_length=2048, chat_template=TEMPLATE)
        ports = tuple(free_port() for _ in PORTS)
        processes = []
        for port in ports:
            places = {"ENGINE_MODELS_DIR": str(folder / "models"), "ENGINE_CACHE_DIR": str(folder / "cache")}
            own = folder / str(port)
            own.mkdir(mode=0o700)
            places |= {"ENGINE_DATA_DIR": str(own / "data")}
            flags = ("--http", f"127.0.0.1:{port}")
            served = serving(own / "engine.sock", *flags, env={**os.environ, **places})
            processes.append(held.enter_context(served))
        yield Engines(ports, tuple(processes))


def configuration(name: str, engines: Engines, port: int) -> str:
    text = (CONFIGURATIONS / name).read_text(encoding="utf-8").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    for shipped, ours in zip(PORTS, engines.ports, strict=True):
        assert f"127.0.0.1:{shipped}" in text
        text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{ours}")
    return text


@contextmanager
def running(command: list[str | Path], folder: Path) -> Iterator[None]:
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:  # noqa: S603
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def haproxy(engines: Engines, folder: Path) -> Iterator[Front]:
    port = free_port()
    path = folder / "haproxy.cfg"
    path.write_text(configuration("haproxy.cfg", engines, port))
    with running([program("haproxy"), "-f", path], folder):
        yield Front(f"http://127.0.0.1:{port}", "tiny", "X-Engine", {})


@contextmanager
def nginx(engines: Engines, folder: Path) -> Iterator[Front]:
    port = free_port()
    (folder / "engines.conf").write_text(configuration("nginx.conf", engines, port))
    places = "".join(f"{name}_temp_path {folder};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    path = folder / "nginx.conf"
    # Engines without a secret let in programs of their own user alone; as root nginx would take another.
    user = "user root;\n" if os.geteuid() == 0 else ""
    http = f"access_log off;\n{places}include {folder}/engines.conf;\n"
    path.write_text(f"{user}daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\n{http}}}\n")
    with running([program("nginx"), "-e", folder / "errors", "-p", folder, "-c", path], folder):
        yield Front(f"http://127.0.0.1:{port}", "tiny", "X-Engine", {})


def program(name: str) -> str:
    """Debian has both where only root looks."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not here")
    return found


@pytest.mark.parametrize("proxy", [haproxy, nginx])
def test_conversations_stay_with_an_engine_and_none_is_lost_when_one_is_killed(
    proxy: Callable[[Engines, Path], Iterator[Front]], engines: Engines, tmp_path: Path
) -> None:
    program(proxy.__name__)
    with proxy(engines, tmp_path) as front:  # type: ignore[attr-defined]
        wait_until_served(front)
        before = assert_conversations_stay_with_their_engine(front)
        lost = before[QUESTIONS[0]]
        number = next(
            number for number, port in enumerate(engines.ports) if lost in (f"engine-{number + 1}", f"127.0.0.1:{port}")
        )
        assert_no_request_is_lost(front, lambda: engines.kill(number))
        after = {question: front.ask(question).engine for question in QUESTIONS}
    assert lost not in after.values()
    stayed = {question for question, engine in before.items() if engine != lost}
    assert {question: after[question] for question in stayed} == {question: before[question] for question in stayed}
