"""Commands of the documentation that the tape leaves alone, each with what runs them in its place, or why none can."""

from __future__ import annotations

import re

_NOT_RUN: tuple[tuple[str, str], ...] = (
    (
        r"(CMAKE_CXX_COMPILER_LAUNCHER=ccache )?make |cmake ",
        "builds; CI and the targets themselves run them",
    ),
    (r"(\.venv/bin/)?engine-ctl models pull (smollm2-135m-instruct|ollama:|https:)", "from the network"),
    (r"(sudo )?(apt|loginctl|systemctl) |cp packaging/systemd|mkdir -p ~/.config/systemd", "changes the system"),
    (r"pipx |python3 -m venv|\S*pip install|\S*python -m pip|ln -s ~|sha256sum ", "make test-packages installs them"),
    (r"PATH=\$PWD/\.venv/bin:\$PATH pip |cp build/cp", "installs a build anew"),
    (r".*open-webui serve|litellm |curl http://127\.0\.0\.1:4000", "make test-clients runs these clients"),
    (r"export .*LITELLM_MASTER_KEY", "of a proxy that is not run"),
    (r"dask |ENGINE_SOCKET=.*dask|weos-agents .*--fleet", "several machines; tests/agents has two engines"),
    (r"gdb |\.venv/bin/py-spy|perf ", "tools for debugging, which may not be here"),
    (r"tools/test_preset\.sh|\.venv/bin/python -m (pytest|benchmarks)", "the tests and benchmarks themselves"),
    (r"~/\.cache/weos-engine/peers|\.venv/bin/python packaging", "of peers and packages, by targets of their own"),
    (r"engine-ctl run \S+\s+# at a terminal", "a conversation at a terminal; the tests of chat have one"),
    (r"weos-agents optimize ", "minutes; tests/agents runs searches"),
    (r"auton ", "a model, or a script that no page shows; tests/auton runs scripts"),
    (r"slm |engine-ctl run tiny-int4\.gguf", "trains a model, and runs it; tests/slm goes the whole way"),
    (r"ENGINE_ENERGY_METER_COMMAND='plug-energy", "a program of a plug that nobody has here"),
    (r"node docs/examples/loop\.mjs", "tests/loop runs it"),
)


class NotRun:
    """The table, and which of its rows a run of the tape has met."""

    def __init__(self) -> None:
        self._rows = [(re.compile(pattern, re.DOTALL), reason) for pattern, reason in _NOT_RUN]
        self.met: set[str] = set()

    def reason(self, command: str) -> str | None:
        for pattern, reason in self._rows:
            if pattern.match(command):
                self.met.add(pattern.pattern)
                return reason
        return None

    def without_use(self) -> set[str]:
        return {pattern.pattern for pattern, _ in self._rows} - self.met
