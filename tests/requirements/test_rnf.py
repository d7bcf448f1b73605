"""RNF-01 to RNF-04: performance, determinism, portability, security."""

from __future__ import annotations

import ast
import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from pydantic import BaseModel

from engine import _core
from protocol.answers import Tokens
from protocol.blocking import BlockingClient
from protocol.errors import InvalidRequest, InvalidTemplate
from protocol.model_ref import ModelRef
from protocol.plan import Batch, ExecutionPlan, ExecutionRequest, Limits, PlanStop, RunRequest, SchedulerPolicy
from protocol.requests import Detokenize, Plan, Status
from protocol.sampling import PlanSampling
from protocol.schema import published_schema
from protocol.tool_calls import PlanTools
from tests.requirements.execution import from_json, make_request, messages_of, record_of, run, told
from tests.requirements.files import fingerprints
from tests.requirements.llama import NAME
from tests.requirements.test_examples import API, RUN_REQUEST
from tests.support.gguf_factory import write_tiny_model
from tests.test_layers import ROOT, imports, modules

FRAMEWORKS = (
    "torch", "tensorflow", "jax", "triton", "onnxruntime", "onnx", "ray", "kubernetes", "transformers",
)  # fmt: skip
# Fails on the import of any of them, runs a command, and prints what of them was imported all the same.
WITHOUT_FRAMEWORKS = """
import sys
banned = sys.argv.pop(1).split(",")
class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in banned:
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Refusal())
from engine_ctl.main import main
main(prog_name="engine-ctl")
"""
CALLS_OF_CODE = {"eval", "exec", "compile", "__import__", "execfile"}
MODULES_OF_CODE = {"pickle", "marshal", "shelve", "code", "codeop", "runpy", "dill", "cloudpickle"}
HOSTILE = "{{ ''.__class__.__mro__[1].__subclasses__() }}"


def test_rnf_01_overhead_of_python_does_not_grow_with_the_tokens(client: BlockingClient) -> None:
    """No Python a token: what the actors hand out is bounded by time, the first tokens at once and the rest at the end
    (in one piece where the answer ended before anybody looked). What is left is measured by
    ``python -m benchmarks overhead`` (docs/performance.md)."""

    def handed_out(tokens: int) -> int:
        asked = make_request(max_tokens=tokens, stop={"eos": False}, stream={"flush_ms": 10_000})
        return sum(isinstance(message, Tokens) for message in messages_of(client, asked))

    assert 1 <= handed_out(32) <= 2
    assert 1 <= handed_out(256) <= 2


def test_rnf_01_overhead_is_measured_by_a_command_and_stated() -> None:
    listed = (ROOT / "benchmarks" / "__main__.py").read_text(encoding="utf-8")
    assert '"overhead": overhead.measure' in listed
    assert "| `overhead` |" in (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def test_rnf_01_frameworks_are_not_needed_for_a_run() -> None:
    flags = ("run", "--model", NAME, "--prompt", "Olá", "--max-tokens", "4", "--json")
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", WITHOUT_FRAMEWORKS, ",".join(FRAMEWORKS), *flags],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["tokens_total"] == 4


def test_rnf_01_frameworks_are_imported_by_no_module_but_those_that_train() -> None:
    others = [path for module, path in modules() if module.partition(".")[0] != "slm"]
    used = {name.partition(".")[0] for path in others for name in imports(path)}
    assert not used & set(FRAMEWORKS)


@pytest.mark.parametrize("policy", get_args(SchedulerPolicy))
def test_rnf_02_heuristics_of_every_policy_are_documented(policy: str) -> None:
    assert f"| `{policy}` |" in (ROOT / "docs" / "scheduling.md").read_text(encoding="utf-8")


def test_rnf_02_heuristics_leave_the_same_plan_for_the_same_request(client: BlockingClient, engine: Path) -> None:
    """In another process too: nothing of a plan comes from the moment."""
    served = client.ask(Plan(request=make_request())).plan_fingerprint
    run(client, prompt="something else", quantization="q8_0")
    assert client.ask(Plan(request=make_request())).plan_fingerprint == served
    arguments = ("--model", NAME, "--prompt", "Olá mundo", "--max-tokens", "8")
    assert told("plan", *arguments)["plan_fingerprint"] == served


def test_rnf_02_decisions_of_a_request_are_all_in_the_plan() -> None:
    """Under its own name, or under the one that it has there."""
    elsewhere: dict[str, type[BaseModel]] = {
        "context_length": Batch, "max_sequences": Batch, "prefill_chunk": Batch, "prefill_beside_decode": Batch,
        "tool_format": PlanTools,
    }  # fmt: skip
    other_names = {"tool_format": "format"}
    # What the templates were told is in the prompt's tokens, which the record holds; the plan says which template.
    rendered = {"chat_template", "chat_date"}
    for name in ExecutionRequest.model_fields:
        place = elsewhere.get(name, ExecutionPlan)
        assert other_names.get(name, name) in place.model_fields or name in rendered, name


def test_rnf_02_decisions_are_written_out_with_their_defaults(client: BlockingClient) -> None:
    content = client.ask(Plan(request=RunRequest(model=NAME, prompt="Olá"))).plan.model_dump(mode="json")
    open_in_the_plan = {name for name, value in content.items() if value is None}
    # No grammar, no log probabilities, nothing to be read in the answer: None is the decision.
    assert open_in_the_plan == {"grammar", "logprobs", "tools", "reasoning"}
    groups = [value.keys() for value in content.values() if isinstance(value, dict)]
    groups = [value.keys() for value in content.values() if isinstance(value, dict)]
    for group in (Batch, Limits, ModelRef, PlanSampling, PlanStop):
        assert group.model_fields.keys() in groups


def test_rnf_03_platform_is_linux_on_x86_64() -> None:
    header = Path(_core.__file__).read_bytes()[:20]
    assert (header[:5], int.from_bytes(header[18:20], "little")) == (b"\x7fELF\x02", 62)
    assert (platform.system(), platform.machine()) == ("Linux", "x86_64")


def test_rnf_03_cmake_builds_it() -> None:
    assert "pybind11_add_module(_core" in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert 'build-backend = "scikit_build_core.build"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_rnf_03_cpp20_is_required() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for line in ("CMAKE_CXX_STANDARD 20", "CMAKE_CXX_STANDARD_REQUIRED ON", "CMAKE_CXX_EXTENSIONS OFF"):
        assert f"set({line})" in cmake


def test_rnf_04_code_in_a_models_template_is_refused(client: BlockingClient, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "hostile.gguf", chat_template=HOSTILE)
    with pytest.raises(InvalidTemplate):
        record_of(client, from_json({"model": str(model), "messages": [{"role": "user", "content": "Olá"}]}))


def test_rnf_04_code_in_a_message_stays_text(client: BlockingClient, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "chat.gguf")
    said = [{"role": "user", "content": HOSTILE}]
    execution = {"limits": {"max_tokens": 1}}
    record = record_of(client, from_json({"model": str(model), "messages": said, "execution": execution}))
    assert HOSTILE in client.ask(Detokenize(model=str(model), token_ids=record.prompt_token_ids)).text


def test_rnf_04_code_is_never_made_of_data() -> None:
    assert [f"{name}: {call}" for name, path in modules() for call in calls_of_code(path)] == []


def test_rnf_04_schema_published_takes_the_documents_requests() -> None:
    schema = published_schema("request")
    for content in (API, RUN_REQUEST):
        jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**API, "execution": {"quantisation": "q4_k_m"}}, schema)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"prompt": 7}, {"model": ""}, {"unknown": 1}, {"execution": {"limits": {"max_tokens": 0}}},
        {"execution": {"limits": {"max_watts": -1}}}, {"execution": {"threads": "two"}}, {"execution": {"backnd": "x"}},
        {"messages": [{"role": "user", "content": "and a prompt"}]}, {"execution": {"scheduler_policy": "best"}},
    ],
)  # fmt: skip
def test_rnf_04_schema_holds_every_request(spoilt: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps({**API, **spoilt}))
    error = told("run", "--request", str(tmp_path / "request.json"))["error"]
    assert error["code"] == "invalid_request"


def test_rnf_04_schema_holds_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_MEMORY_MB", "much")
    error = told("run", "--model", NAME, "--prompt", "Olá")["error"]
    assert (error["code"], error["params"]["field"]) == (InvalidRequest.code, "ENGINE_MEMORY_MB")


def test_rnf_04_modification_of_code_has_no_memory_to_happen_in(client: BlockingClient) -> None:
    for quantization in ("native", "q4_k_m"):
        run(client, quantization=quantization)
    maps = Path(f"/proc/{client.ask(Status()).pid}/maps").read_text(encoding="ascii", errors="replace").splitlines()
    assert len(maps) > 10
    assert [line for line in maps if re.match(r"\S+ .wx", line)] == []


def test_rnf_04_modification_of_files_of_the_engine_does_not_happen(client: BlockingClient) -> None:
    before = fingerprints()
    run(client, quantization="q6_k")
    told("run", "--model", NAME, "--prompt", "Olá", "--max-tokens", "4")
    assert fingerprints() == before


def calls_of_code(path: Path) -> Iterator[str]:
    """Calls that make code of data, modules that do, and shells."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS_OF_CODE:
                yield f"{node.func.id}()"
            if any(keyword.arg == "shell" for keyword in node.keywords):
                yield "shell="
        if isinstance(node, ast.Attribute) and node.attr in {"system", "popen"} and ast.unparse(node.value) == "os":
            yield f"os.{node.attr}"
    yield from imports(path) & MODULES_OF_CODE
