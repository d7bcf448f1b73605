"""The technology stack (Stack Tecnológico)."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest
import tomli

from protocol.blocking import BlockingClient
from tests.requirements.execution import run
from tests.requirements.llama import NAME
from tests.requirements.test_rf_control import http
from tests.requirements.test_rnf import FRAMEWORKS
from tests.test_layers import INCLUDE, ROOT, sources
from tests.tools.command_line import PROGRAM, engine_ctl

PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SEMANTIC = re.compile(r"\d+\.\d+\.\d+(?:[-.+][0-9A-Za-z.+-]+)?")


def test_stack_core_of_the_run_loop_is_cpp_without_python() -> None:
    core = [path for path in sources() if path.relative_to(ROOT / "csrc").parts[0] != "bindings"]
    assert {"run_loop.cpp", "forward_pass.cpp", "sampler.cpp"} <= {path.name for path in core}
    for path in core:
        included = INCLUDE.findall(path.read_text(encoding="utf-8"))
        assert not [name for name in included if name == "Python.h" or name.startswith("pybind11")], path


def test_stack_python_of_the_reference_system_is_enough() -> None:
    least = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["project"]["requires-python"])
    assert least is not None
    assert tuple(map(int, least.groups())) <= (3, 10)


def test_stack_build_is_cmake_and_ninja() -> None:
    assert (ROOT / "CMakeLists.txt").is_file()
    settings = PROJECT["tool"]["scikit-build"]
    assert settings["cmake"]["version"].startswith(">=3.")
    assert settings["ninja"]["version"]


def test_stack_avx2_is_enough_and_gives_the_bits_of_any_other(client: BlockingClient) -> None:
    if "backend:cpu_avx2" not in client.welcome.capabilities:
        pytest.skip("this CPU has no AVX2")
    assert run(client, backend="cpu_avx2").logits_digest == run(client).logits_digest


def test_stack_avx2_runs_alone_where_the_processor_has_no_more(client: BlockingClient) -> None:
    """A mask hides the rest: what else this processor has is not used."""
    if "backend:cpu_avx2" not in client.welcome.capabilities:
        pytest.skip("this CPU has no AVX2")
    whole = run(client)
    masked = subprocess.run(  # noqa: S603  our own program
        [*PROGRAM, "run", "--json", "--model", NAME, "--prompt", "Olá mundo", "--max-tokens", "8"],
        check=True, capture_output=True, text=True, env=os.environ | {"ENGINE_CPU_FEATURES": "avx2"},
    )  # fmt: skip
    record = json.loads(masked.stdout)
    assert record["plan"]["backend"] == "cpu_avx2"
    assert record["logits_digest"] == whole.logits_digest


def test_stack_forbidden_frameworks_are_not_required() -> None:
    required = [one for one in requires("weos-engine") or () if "extra ==" not in one]
    needed = {re.split(r"[^A-Za-z0-9_-]", one)[0].lower().replace("-", "_") for one in required}
    assert needed
    assert not needed & set(FRAMEWORKS)


def test_stack_version_is_semantic_and_told_at_run_time(client: BlockingClient) -> None:
    assert SEMANTIC.fullmatch(client.welcome.engine_version)
    assert client.welcome.engine_version in engine_ctl("--version").stdout


def test_stack_api_speaks_json(engine: Path, client: BlockingClient) -> None:
    status, content = http(engine, "GET", "/version")
    assert status == 200
    assert client.welcome.engine_version in str(content)
