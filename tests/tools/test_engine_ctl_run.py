"""`engine-ctl run`, against an engine that answers from a script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from protocol.answers import Accepted, EngineMessage, Finished
from protocol.errors import EnergyUnavailable
from protocol.plan import Limits, RunRequest, Stop
from protocol.record import ChoiceRecord
from protocol.requests import ClientMessage, Run
from protocol.sampling import LogitBias, Sampling
from protocol.speculation import Speculation
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import PIECES, answers_in_full, make_record, refusing, tokens
from tests.tools.fake_engine import FakeEngine

TINY_REQUEST = RunRequest(model="tiny", prompt="a")


def run_request(engine: FakeEngine) -> RunRequest:
    (message,) = engine.requests(Run)
    assert isinstance(message, Run)
    return message.request


def test_text_goes_to_stdout_and_figures_to_stderr(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers_in_full)
    result = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "Olá")
    assert result.exit_code == 0
    assert result.stdout == "".join(PIECES)
    assert result.stderr == "3 tokens · first after 0.01 s · no power meter · cut at --max-tokens\n"


def test_the_table_of_metrics_is_there_for_the_asking(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers_in_full)
    result = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "Olá", "--metrics")
    assert result.stdout == "".join(PIECES)
    assert "tokens_per_watt" in result.stderr
    assert "this machine has no powercap zones" in " ".join(result.stderr.split())


def test_json_is_the_record_and_nothing_else(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers_in_full)
    result = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "Olá", "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    shown = json.loads(result.stdout)
    assert shown == make_record().model_dump(mode="json")
    contract = "result token_ids prompt_token_ids logits_digest stop_reason execution_id engine_version plan metrics"
    assert set(contract.split()) <= set(shown)


def test_the_socket_may_come_from_the_environment(
    start_engine: StartEngine, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_engine(answers_in_full)
    monkeypatch.setenv("ENGINE_SOCKET", str(socket_path))
    assert engine_ctl("run", "--model", "tiny", "--prompt", "Olá").exit_code == 0


def test_flags_left_out_are_left_to_the_engine(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers_in_full)
    engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "Olá")
    assert run_request(engine) == RunRequest(model="tiny", prompt="Olá")


def test_the_products_example_makes_the_products_request(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers_in_full)
    flags = ("--model", "llama3-8b", "--quant", "q4_k_m", "--backend", "cpu_avx2", "--max-watts", "25")
    engine_ctl("run", "--socket", str(socket_path), *flags, "--prompt", "Olá mundo")
    asked = run_request(engine)
    assert (asked.model, asked.prompt) == ("llama3-8b", "Olá mundo")
    assert (asked.execution.backend, asked.execution.quantization) == ("cpu_avx2", "q4_k_m")
    assert asked.execution.limits == Limits(max_watts=25.0)


def test_the_flags_of_limits_reach_the_request(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers_in_full)
    watts = ("--max-watts", "25", "--on-max-watts", "throttle")
    flags = ("--model", "tiny", "--prompt", "a", *watts, "--max-joules", "40.5", "--deadline-ms", "1500")
    engine_ctl("run", "--socket", str(socket_path), *flags)
    expected = Limits(max_watts=25.0, on_max_watts="throttle", max_joules=40.5, deadline_ms=1500)
    assert run_request(engine).execution.limits == expected


def test_every_flag_reaches_the_request(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers_in_full)
    penalty = ("--repeat-penalty", "1.1", "--seed", "7")
    sampling = ("--temperature", "0.7", "--top-k", "40", "--top-p", "0.9", "--min-p", "0.05", *penalty)
    others = (
        "--threads", "2", "--kv-cache", "q8_0", "--prefix-cache", "on", "--speculate", "lookup",
        "--context-length", "128", "--policy", "latency", "--priority", "-3", "--max-tokens", "9",
        "--stop", "END", "--stop", "\n", "--stop-token", "17",
    )  # fmt: skip
    chat = ["--chat", "--system", "Be brief.", "--prompt", "Why?"]
    engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", *sampling, *others, *chat)
    asked = run_request(engine)
    assert asked.execution.sampling == Sampling(
        temperature=0.7, top_k=40, top_p=0.9, min_p=0.05, repeat_penalty=1.1, seed=7
    )
    assert (asked.execution.threads, asked.execution.context_length) == (2, 128)
    assert (asked.execution.kv_cache, asked.execution.prefix_cache) == ("q8_0", "on")
    assert asked.execution.speculation == Speculation(kind="lookup")
    assert (asked.execution.scheduler_policy, asked.execution.priority) == ("latency", -3)
    assert asked.execution.limits == Limits(max_tokens=9)
    assert asked.execution.stop == Stop(strings=("END", "\n"), token_ids=(17,))
    assert asked.messages is not None
    assert [(each.role, each.content) for each in asked.messages] == [("system", "Be brief."), ("user", "Why?")]


def test_every_sampler_has_its_flags(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers_in_full)
    flags = {
        "--temperature": "0.8", "--typical-p": "0.9", "--presence-penalty": "0.1", "--frequency-penalty": "-0.2",
        "--repeat-last-n": "100", "--dry-multiplier": "0.8", "--dry-base": "1.5", "--dry-allowed-length": "3",
        "--xtc-probability": "0.5", "--xtc-threshold": "0.2", "--mirostat-tau": "5", "--mirostat-eta": "0.2",
        "--samplers": "dry, typical_p,temperature", "--logprobs": "3", "-n": "2",
    }  # fmt: skip
    repeated = ("--dry-breaker", "\n", "--dry-breaker", ":", "--logit-bias", "7=-1.5", "--logit-bias", "9=2")
    given = [text for flag in flags.items() for text in flag]
    engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a", *given, *repeated)
    execution = run_request(engine).execution
    assert execution.sampling == Sampling(
        order=("dry", "typical_p", "temperature"), temperature=0.8, typical_p=0.9, presence_penalty=0.1,
        frequency_penalty=-0.2, repeat_last_n=100, dry_multiplier=0.8, dry_base=1.5, dry_allowed_length=3,
        dry_breakers=("\n", ":"), xtc_probability=0.5, xtc_threshold=0.2, mirostat_tau=5.0, mirostat_eta=0.2,
        logit_bias=(LogitBias(token_id=7, bias=-1.5), LogitBias(token_id=9, bias=2.0)),
    )  # fmt: skip
    assert (execution.logprobs, execution.n) == (3, 2)


@pytest.mark.parametrize("text", ["7", "7=", "=1", "a=1", "7=much"])
def test_a_bias_that_is_none_is_a_usage_error(text: str, socket_path: Path) -> None:
    flags = ("--model", "tiny", "--prompt", "a", "--logit-bias", text)
    done = engine_ctl("run", "--socket", str(socket_path), *flags)
    assert done.exit_code == 2
    assert "ID=BIAS" in done.stderr


def test_several_answers_are_numbered(start_engine: StartEngine, socket_path: Path) -> None:
    other = ChoiceRecord(result="Another", token_ids=(1,), logits_digest="0" * 32, stop_reason="eos")

    def answer(message: ClientMessage) -> Sequence[EngineMessage]:
        if not isinstance(message, Run):
            return answers_in_full(message)
        of_other = tokens(message.request_id, 1, "Another").model_copy(update={"choice": 1})
        begun, *streamed, _ = answers_in_full(message)
        assert isinstance(begun, Accepted)
        begun = begun.model_copy(update={"plan": begun.plan.model_copy(update={"n": 2})})
        record = make_record(other_choices=(other,))
        return [begun, of_other, *streamed, Finished(request_id=message.request_id, record=record)]

    start_engine(answer)
    done = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a", "-n", "2")
    assert done.stdout == "[1] " + "".join(PIECES) + "\n[2] Another\n"


@pytest.mark.parametrize("flags", [("--prompt", "-"), ("--prompt-file", "-")])
def test_a_dash_reads_standard_input_to_its_last_byte(
    flags: tuple[str, str], start_engine: StartEngine, socket_path: Path
) -> None:
    engine = start_engine(answers_in_full)
    engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", *flags, stdin="Olá\r\n")
    assert run_request(engine).prompt == "Olá\r\n"


def test_the_prompt_may_be_a_file(start_engine: StartEngine, socket_path: Path, tmp_path: Path) -> None:
    engine = start_engine(answers_in_full)
    file = tmp_path / "prompt.txt"
    file.write_bytes("Olá\n".encode())
    engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt-file", str(file))
    assert run_request(engine).prompt == "Olá\n"


def test_a_file_from_here_is_named_by_its_full_path(
    start_engine: StartEngine, socket_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start_engine(answers_in_full)
    monkeypatch.chdir(tmp_path)
    Path("here.gguf").touch()
    engine_ctl("run", "--socket", str(socket_path), "--model", "here.gguf", "--prompt", "")
    assert run_request(engine).model == str(tmp_path / "here.gguf")


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--prompt", "a", "--prompt-file", "-"),
        ("--prompt", "a", "--system", "b"),
        ("--prompt-file", "/nowhere"),
        ("--prompt", "a", "--max-tokens", "many"),
        ("--prompt", "a", "--nonsense"),
    ],
)
def test_wrong_usage_ends_with_2(flags: tuple[str, ...], socket_path: Path) -> None:
    result = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", *flags)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage: engine-ctl run" in result.stderr


def test_a_prompt_that_is_not_utf8_is_wrong_usage(socket_path: Path) -> None:
    arguments = ("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "-")
    result = engine_ctl(*arguments, stdin=b"ol\xe1")
    assert result.exit_code == 2
    assert "- is not UTF-8" in result.stderr


def test_a_value_out_of_range_is_refused_before_anything_is_asked(socket_path: Path) -> None:
    flags = ("--max-tokens", "-5", "--json")
    result = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a", *flags)
    assert result.exit_code == 3
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "invalid_request"
    assert error["params"]["field"].endswith("execution.limits.max_tokens")


def test_with_json_an_error_is_one_object_on_stdout(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(refusing(EnergyUnavailable("nothing measures watts", source="none")))
    flags = ("--max-watts", "25", "--json")
    result = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a", *flags)
    assert result.exit_code == 7
    assert result.stderr == ""
    expected = {"code": "energy_unavailable", "message": "nothing measures watts", "params": {"source": "none"}}
    assert json.loads(result.stdout) == {"error": expected}


def test_an_engine_that_hangs_up_in_mid_answer_is_unreachable(start_engine: StartEngine, socket_path: Path) -> None:
    def hangs_up(message: ClientMessage) -> Sequence[EngineMessage]:
        assert isinstance(message, Run)
        raise ConnectionError

    start_engine(hangs_up)
    result = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a")
    assert result.exit_code == 5
    assert result.stderr.startswith("error[engine_unreachable]: ")


def test_a_whole_conversation_with_tools_comes_from_files(
    start_engine: StartEngine, socket_path: Path, tmp_path: Path
) -> None:
    engine = start_engine(answers_in_full)
    call = {"id": "1", "function": {"name": "f", "arguments": {"days": [1, None]}}}
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}]
    (tmp_path / "messages.json").write_text(json.dumps(said))
    (tmp_path / "tools.json").write_text(json.dumps([{"function": {"name": "f", "required": ["days"]}}]))
    files = ("--messages", str(tmp_path / "messages.json"), "--tools", str(tmp_path / "tools.json"))
    flags = ("--chat", "--system", "Be brief.", "--chat-template", "chatml", "--chat-date", "2026-01-31")
    result = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", *files, *flags)
    assert result.exit_code == 0
    asked = run_request(engine)
    assert asked.messages is not None
    assert [each.role for each in asked.messages] == ["system", "user", "assistant"]
    assert asked.messages[2].tool_calls[0].function.arguments == {"days": [1, None]}
    assert asked.tools == ({"function": {"name": "f", "required": ["days"]}},)
    assert (asked.execution.chat_template, str(asked.execution.chat_date)) == ("chatml", "2026-01-31")


@pytest.mark.parametrize(
    ("content", "told"), [("{", "is not JSON"), ("{}", "does not hold a JSON array")], ids=["broken", "object"]
)
def test_a_conversation_that_is_no_json_array_is_wrong_usage(
    content: str, told: str, socket_path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "messages.json"
    file.write_text(content)
    result = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--chat", "--messages", str(file))
    assert result.exit_code == 2
    assert told in result.stderr
