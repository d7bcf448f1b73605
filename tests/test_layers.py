"""The layers, as a test: which package may import what, and what each C++ folder may include."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STDLIB = sys.stdlib_module_names | {"tomllib"}
"""Modules of the newest Python: one that comes without a module asks for a backport of it."""
BACKPORTS = frozenset({"exceptiongroup", "typing_extensions"})
"""What the standard library has from Python 3.11 on."""

ACTORS = frozenset(
    {"api_server", "control_plane", "scheduler", "executor", "energy_sampler", "recorder", "http.gateway"}
)
ACTOR_KINDS = frozenset({"Actor", "RestartableActor"})
MAY_IMPORT: dict[str, frozenset[str]] = {
    "protocol": frozenset({"protocol", "msgpack", "msgspec", "pydantic", "pydantic_core"}),
    "engine": frozenset(
        {"engine", "protocol", "pydantic", "numpy", "tokenizers", "jinja2", "llguidance", "platformdirs"}
    ),
    "actors": frozenset({"actors", "protocol", "engine", "trio"}),
    "engine_ctl": frozenset({"engine_ctl", "protocol", "click", "rich", "prompt_toolkit"}),
    "auton": frozenset({"auton", "click", "pydantic"}),
    "slm": frozenset({"slm", "protocol", "click", "rich", "pydantic", "numpy", "tokenizers"}),
    "weos_agents": frozenset({"weos_agents", "protocol", "click", "rich", "pydantic", "numpy"}),
}
EXCEPTIONS: dict[str, frozenset[str]] = {
    "actors.http.app": frozenset({"starlette"}),
    "actors.http.call": frozenset({"starlette"}),
    "actors.http.http1_stream": frozenset({"h11"}),
    "actors.http.http_connection": frozenset({"h11", "starlette"}),
    "actors.http.http_exchange": frozenset({"h11", "starlette"}),
    "actors.http.wire": frozenset({"starlette"}),
    "actors.message_codec": frozenset({"msgpack"}),
    "engine.fetch.hub.session": frozenset({"huggingface_hub"}),
    "engine.grammar.grammar_trial": frozenset({"msgpack"}),
    "engine.grammar.trial_process": frozenset({"msgpack"}),
    "protocol.client": frozenset({"anyio"}),
    "protocol.arrivals": frozenset({"anyio"}),
    "protocol.unix_transport": frozenset({"anyio"}),
    "engine_ctl.version": frozenset({"engine"}),
    "engine_ctl.embedded": frozenset({"actors", "engine", "trio"}),
    "engine_ctl.engine_options": frozenset({"actors", "engine"}),
    "engine_ctl.config_file": frozenset({"tomli"}),
    "engine_ctl.commands.doctor": frozenset({"engine"}),
    "engine_ctl.commands.energy_setup": frozenset({"engine"}),
    "engine_ctl.commands.energy_sources": frozenset({"engine"}),
    "auton.commands.config": frozenset({"tomlkit"}),
    "auton.commands.run": frozenset({"trio"}),
    "auton.orchestrator": frozenset({"trio"}),
    "auton.provider": frozenset({"litellm"}),
    "auton.settings": frozenset({"tomli"}),
    "slm.configuration": frozenset({"tomli"}),
    "slm.commands.train": frozenset({"torch"}),
    "slm.engine_link": frozenset({"engine_ctl"}),
    "slm.evaluation.text_cost": frozenset({"torch"}),
    "slm.export.auton_checkpoint": frozenset({"torch"}),
    "slm.export.gguf_file": frozenset({"gguf"}),
    "slm.export.importance": frozenset({"gguf", "torch"}),
    "slm.export.onnx_file": frozenset({"onnxruntime", "torch"}),
    "slm.training.checkpoints": frozenset({"torch"}),
    "slm.training.loss_curve": frozenset({"matplotlib"}),
    "slm.training.trainer": frozenset({"torch"}),
    "slm.training.views": frozenset({"torch"}),
    "slm.transformer": frozenset({"torch"}),
    "weos_agents.candidate_search": frozenset({"optuna"}),
    "weos_agents.fleet.fleet_trials": frozenset({"distributed"}),
    "weos_agents.report.plots": frozenset({"matplotlib"}),
    "weos_agents.statistics.bootstrap": frozenset({"scipy"}),
}
"""Modules that may import more than their package."""

ENGINE_ORDER = (
    "host",
    "text",
    "grammar",
    "metrics",
    "energy.sources",
    "identity",
    "",  # the modules beside the packages
    "artifact",
    "bench",
    "records",
    "energy",
    "fetch",
    "weights",
    "doctor",
    "models",
    "planning",
    "cpu",
    "operations",
    "experiments",
    "proposals",
    "sandbox",
)
"""The packages of ``engine``; each may import those before it."""

CSRC_ORDER = (
    "base",
    "gguf",
    "quant",
    "kernels",
    "model/load",
    "model",
    "model/forward",
    "model/jobs",
    "text",
    "runtime/sampling",
    "runtime/grammar",
    "runtime/speculation",
    "runtime/loop",
    "runtime/stream",
    "bindings",
    "bindings/tests",
)
"""The folders of ``csrc`` with those inside them; each may include from those before it."""
INSTRUCTION_SETS = ("avx2", "avx_vnni", "avx512", "amx")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("protocol", "engine", "actors"):
        yield from named(package, ROOT / package)
    for package in ("auton", "engine_ctl", "slm", "weos_agents"):
        yield from named(package, ROOT / "tools" / package)


def named(package: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        yield ".".join((package, *(part for part in parts if part != "__init__"))), path


def imports(path: Path) -> set[str]:
    """Every module named in an import, wherever in the file it stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            # "from engine import _core" imports engine._core.
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources() -> list[Path]:
    return [path for path in sorted((ROOT / "csrc").rglob("*")) if path.suffix in {".h", ".hpp", ".cpp", ".cc", ".inl"}]


def folder_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(ROOT / "csrc").parts[:-1]


def each_module(prefix: str = "") -> pytest.MarkDecorator:
    chosen = [(name, path) for name, path in modules() if name.startswith(prefix)]
    return pytest.mark.parametrize(("name", "path"), chosen, ids=[name for name, _ in chosen])


each_source = pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))


@each_module()
def test_a_module_imports_only_what_its_layer_may(name: str, path: Path) -> None:
    allowed = MAY_IMPORT[name.partition(".")[0]] | BACKPORTS | EXCEPTIONS.get(name, frozenset())
    used = {module.partition(".")[0] for module in imports(path)}
    assert used - STDLIB - allowed == set()


def engine_package(module: str) -> str:
    """The place of a module of ``engine`` in ENGINE_ORDER."""
    inner = module.partition(".")[2]
    return max((one for one in ENGINE_ORDER if f"{inner}.".startswith(f"{one}." if one else "")), key=len)


@each_module("engine.")
def test_a_package_of_the_engine_imports_only_those_before_it(name: str, path: Path) -> None:
    place = ENGINE_ORDER.index(engine_package(name))
    named = {module for module, _ in modules()}
    used = {module for module in imports(path) & named if module.startswith("engine.")}
    assert {module for module in used if ENGINE_ORDER.index(engine_package(module)) > place} == set()


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports for types alone, and those inside of functions, count like others."""
    named = dict(modules())
    needed = {name: (imports(path) & named.keys()) - {name} for name, path in named.items()}
    tuple(TopologicalSorter(needed).static_order())  # raises CycleError, which names the circle


@each_module()
def test_nothing_imports_the_training_of_models_or_auton_but_themselves(name: str, path: Path) -> None:
    own = name.partition(".")[0]
    theirs = {"auton": {"litellm"}, "slm": {"torch"}}
    foreign = {one for tool, packages in theirs.items() if tool != own for one in (tool, *packages)}
    assert {module.partition(".")[0] for module in imports(path)} & foreign == set()


@each_module("actors.")
def test_actors_know_each_other_only_through_messages(name: str, path: Path) -> None:
    if name == "actors.system":
        return
    forbidden = {f"actors.{actor}" for actor in ACTORS | {"system"}}
    assert imports(path) & forbidden == set()


def test_every_actor_is_on_the_list() -> None:
    def defines_an_actor(path: Path) -> bool:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        return any(isinstance(base, ast.Name) and base.id in ACTOR_KINDS for node in classes for base in node.bases)

    assert {
        name.removeprefix("actors.")
        for name, path in named("actors", ROOT / "actors")
        if name != "actors.base" and defines_an_actor(path)
    } == ACTORS


@pytest.mark.parametrize("actor", sorted(ACTORS))
def test_an_actor_says_what_it_owns_receives_sends_and_fails_on(actor: str) -> None:
    path = ROOT.joinpath("actors", *actor.split(".")).with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    headings = [line.split("  ")[0] for line in docstring.splitlines()]
    assert [one for one in headings if one in {"Owns", "Receives", "Sends"}] == ["Owns", "Receives", "Sends"]
    assert "Fails when" in docstring


@each_module("actors.policies")
def test_policies_see_plans_and_nothing_that_runs(name: str, path: Path) -> None:
    ours = {module for module in imports(path) if module.partition(".")[0] not in STDLIB | BACKPORTS}
    assert all(
        module.startswith(("protocol.plan", "protocol.value", "engine.batch_key", "actors.policies")) for module in ours
    )


@each_module()
def test_only_the_engine_touches_the_extension(name: str, path: Path) -> None:
    assert name.startswith("engine.") or "engine._core" not in imports(path)


@each_module()
def test_what_the_core_has_for_tests_is_for_tests(name: str, path: Path) -> None:
    assert "engine._core_tests" not in imports(path)


@each_module("engine_ctl")
def test_of_the_actors_the_command_line_sees_only_the_system(name: str, path: Path) -> None:
    used = {module for module in imports(path) if module.startswith("actors")}
    assert all(module.startswith(("actors.system", "actors.http.options")) for module in used)


def csrc_place(path: str) -> int:
    """The place of a file of ``csrc``, by its path there, in CSRC_ORDER."""
    return CSRC_ORDER.index(max((one for one in CSRC_ORDER if path.startswith(f"{one}/")), key=len))


def included_by(path: Path) -> list[str]:
    """The sources of ours that a source includes, by their paths in ``csrc``."""
    found = INCLUDE.findall(path.read_text(encoding="utf-8"))
    return [name for name in found if (ROOT / "csrc" / name).is_file()]


@each_source
def test_a_cpp_folder_includes_only_itself_and_those_before_it(path: Path) -> None:
    own = csrc_place(path.relative_to(ROOT / "csrc").as_posix())
    assert [name for name in included_by(path) if csrc_place(name) > own] == []


def test_no_header_includes_itself_by_way_of_others() -> None:
    includes = {path.relative_to(ROOT / "csrc").as_posix(): included_by(path) for path in sources()}
    tuple(TopologicalSorter(includes).static_order())  # raises CycleError, which names the circle


@each_source
def test_each_foreign_header_stays_in_its_folder(path: Path) -> None:
    folder = folder_of(path)
    included = set(INCLUDE.findall(path.read_text(encoding="utf-8")))
    if folder[0] != "bindings":
        assert not any(name.startswith("pybind11") or name == "Python.h" for name in included)
    intrinsics = {name for name in included if name.endswith("intrin.h") or name == "cpuid.h"}
    # base/ pauses in spin loops, sets MXCSR and asks CPUID.
    in_kernels = folder[0] == "kernels" and len(folder) > 1 and folder[1] in INSTRUCTION_SETS
    assert not intrinsics or in_kernels or folder[0] == "base"
    # A mapped file that somebody cuts is a signal and no error: base/ maps anonymous memory, and nothing maps files.
    assert "sys/mman.h" not in included or folder[0] == "base"
