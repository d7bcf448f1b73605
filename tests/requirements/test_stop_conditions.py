"""What ends an execution: the end-of-sequence token, limits of tokens and energy, an interruption."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from protocol.answers import Accepted, Event, Finished, Tokens
from protocol.blocking import BlockingClient
from protocol.events import EndedEvent
from protocol.record import ExecutionRecord
from protocol.requests import Cancel, Plan, Subscribe
from tests.requirements.execution import make_request, run, run_for, told
from tests.tools.command_line import start_engine_ctl

ENDLESS: dict[str, Any] = {"max_tokens": 8000, "backend": "reference", "threads": 1, "stop": {"eos": False}}


def biased_to_eos(client: BlockingClient) -> dict[str, Any]:
    eos = client.ask(Plan(request=make_request())).plan.stop.eos_token_ids[0]
    return {"logit_bias": [{"token_id": eos, "bias": 10_000.0}]}


def test_stop_eos_ends_where_the_model_says_so(client: BlockingClient) -> None:
    record = run(client, sampling=biased_to_eos(client))
    assert record.stop_reason == "eos"
    assert len(record.token_ids) <= 1


def test_stop_eos_can_be_switched_off_by_the_plan(client: BlockingClient) -> None:
    record = run(client, sampling=biased_to_eos(client), stop={"eos": False})
    assert (record.stop_reason, record.metrics.tokens_total) == ("max_tokens", 8)


@pytest.mark.parametrize("limit", [1, 2, 33])
def test_stop_tokens_ends_after_exactly_so_many(limit: int, client: BlockingClient) -> None:
    record = run(client, max_tokens=limit, stop={"eos": False})
    assert (record.stop_reason, len(record.token_ids)) == ("max_tokens", limit)


def test_stop_energy_ends_at_the_documents_25_watts(client: BlockingClient) -> None:
    """A machine of 65 W whose CPUs are all busy draws more, by the model that its operator declared."""
    record = run(client, **{**ENDLESS, "threads": None}, limits={"max_watts": 25, "deadline_ms": 10_000})
    if record.stop_reason == "deadline":
        pytest.skip("this process may keep so few of the CPUs busy that they stay below 25 W of 65 by the model")
    assert record.stop_reason == "max_watts"
    assert record.metrics.energy.kind == "modelled"
    assert 0 < record.metrics.tokens_total < 8000


def test_stop_energy_ends_at_a_limit_of_joules(client: BlockingClient) -> None:
    record = run_for(client, joules=30)
    assert record.stop_reason == "max_joules"
    assert record.metrics.joules_total is not None
    assert record.metrics.joules_total >= 30


def test_stop_interruption_by_a_cancel_of_another_client(client: BlockingClient, engine: Path) -> None:
    record = interrupted(client, engine)
    assert record.stop_reason == "cancelled"
    assert 0 < record.metrics.tokens_total < 8000


def test_stop_interruption_by_ctrl_c_at_the_terminal(engine: Path, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(make_request(**ENDLESS).model_dump_json())
    arguments = ("--socket", str(engine), "--request", str(tmp_path / "request.json"))
    with start_engine_ctl("run", *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "cancelled" in errors


def test_stop_interruption_by_a_client_that_goes(client: BlockingClient, engine: Path) -> None:
    events = client.follow(Subscribe())
    next(events)
    with BlockingClient.connect(engine, timeout=60) as leaving:
        running = leaving.run(make_request(**ENDLESS))
        accepted = next(running)
        assert isinstance(accepted, Accepted)
        next(message for message in running if isinstance(message, Tokens))
    told_of = (each for each in events if isinstance(each, Event) and each.execution_id == accepted.execution_id)
    ended = next(event.body for event in told_of if isinstance(event.body, EndedEvent))
    assert ended.stop_reason == "client_gone"


@pytest.mark.parametrize("reason", ["eos", "max_tokens", "max_joules", "cancelled"])
def test_stop_recorded_in_the_store(reason: str, client: BlockingClient, engine: Path) -> None:
    record = {
        "eos": lambda: run(client, sampling=biased_to_eos(client)),
        "max_tokens": lambda: run(client, stop={"eos": False}),
        "max_joules": lambda: run_for(client, joules=3),
        "cancelled": lambda: interrupted(client, engine),
    }[reason]()
    common = ("--socket", str(engine), "--stop-reason", reason)
    assert record.execution_id in {each["execution_id"] for each in told("executions", "ls", *common)["executions"]}


def interrupted(client: BlockingClient, engine: Path) -> ExecutionRecord:
    """Cancelled by another client, once it has made a token."""
    running = client.run(make_request(**ENDLESS, stream={"flush_ms": 0}))
    execution_id = next(message.execution_id for message in running if isinstance(message, Tokens))
    with BlockingClient.connect(engine, timeout=60) as other:
        other.ask(Cancel(execution_id=execution_id))
    *_, finished = running
    assert isinstance(finished, Finished)
    return finished.record
