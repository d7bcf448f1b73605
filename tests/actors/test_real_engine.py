"""The real backend behind the same actors: a tiny model of random weights, with and without a socket."""

from __future__ import annotations

from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, get_args

import pytest
import trio

from engine.backend import SequenceEvents
from engine.cpu.cpu_backend import CpuBackend
from protocol.answers import Accepted, EngineMessage, Event, Finished, Subscribed, Tokens
from protocol.chat import ChatMessage
from protocol.embedding import EmbeddingRequest
from protocol.errors import (
    EngineError,
    EngineUnreachable,
    InternalError,
    InvalidModel,
    PromptTooLong,
    UnknownModel,
    UnsupportedBackend,
)
from protocol.evaluation import EvaluationRequest
from protocol.events import TokensEvent
from protocol.experiment import WorkloadInput
from protocol.experiment_messages import Experiment, GetExperiment
from protocol.message import Request
from protocol.plan import PlanRequest, RunRequest, Stop
from protocol.plan import Stream as TokenStream
from protocol.proposal_messages import ApplyPlan, GetNamedPlan, GetProposal, MoveProposal, Propose, RollBackPlan
from protocol.record import ExecutionRecord
from protocol.record_entry import timestamp_now
from protocol.requests import (
    AskedMessage,
    Cancel,
    CompareExecutions,
    Detokenize,
    Embed,
    Evaluate,
    GetExecution,
    ModelAdvice,
    ModelInfo,
    Plan,
    PruneRecords,
    PullModel,
    Quantize,
    RemoveModel,
    Replay,
    Rerank,
    Run,
    Shutdown,
    Status,
    StopExperiment,
    Subscribe,
    Tokenize,
    UnloadModel,
    Unsubscribe,
)
from protocol.reranking import RerankRequest
from protocol.sampling import Sampling
from protocol.speculation import Speculation
from tests.actors.engine_factory import Stream, collect, record_of, until
from tests.actors.fake_plans import make_plan
from tests.actors.real_engine import real_client, request
from tests.engine.backend_bench import Bench
from tests.support.gguf_factory import write_tiny_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


async def test_the_same_answer_with_and_without_a_socket(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client:
        alone = await record_of(client, request(model))
    async with real_client(tmp_path, tmp_path / "run" / "engine.sock") as client:
        over_socket = await record_of(client, request(model))
    assert alone.token_ids == over_socket.token_ids
    assert alone.logits_digest == over_socket.logits_digest
    assert alone.result == over_socket.result
    assert alone.plan_fingerprint == over_socket.plan_fingerprint
    assert len(alone.logits_digest) == 32
    assert alone.metrics.tokens_total == len(alone.token_ids) > 0
    assert alone.metrics.energy.kind == "unavailable"
    assert alone.metrics.energy.reason


async def test_a_record_tells_what_was_drafted_and_repeats_one_without_drafts(model: Path, tmp_path: Path) -> None:
    asked = request(model, max_tokens=150)
    execution = asked.execution.model_copy(
        update={"speculation": Speculation(kind="lookup", row_cost=0.0), "n": 2, "stop": Stop(eos=False)}
    )
    drafting = asked.model_copy(update={"execution": execution})
    plain = asked.model_copy(update={"execution": execution.model_copy(update={"speculation": Speculation()})})
    async with real_client(tmp_path) as client:
        lookup, off = await record_of(client, drafting), await record_of(client, plain)
        *_, again = [message async for message in client.follow(Replay(execution_id=lookup.execution_id))]
    assert isinstance(again, Finished)
    assert (again.record.plan, again.record.logits_digest) == (lookup.plan, lookup.logits_digest)
    assert lookup.token_ids == off.token_ids
    assert (lookup.logits_digest, lookup.other_choices) == (off.logits_digest, off.other_choices)
    assert lookup.metrics.drafted_tokens is not None
    assert lookup.metrics.accepted_tokens is not None
    assert lookup.metrics.drafted_tokens >= lookup.metrics.accepted_tokens > 0
    assert (off.metrics.drafted_tokens, off.metrics.accepted_tokens) == (None, None)


MADE: dict[type[Request[Any]], Request[Any]] = {
    **{kind: kind(model="none") for kind in (ModelAdvice, ModelInfo, PullModel, RemoveModel, UnloadModel)},
    **{kind: kind(execution_id="none") for kind in (Cancel, Replay, GetExecution)},
    **{kind: kind(request=RunRequest(model="none", prompt="x")) for kind in (Run, Plan)},
    Evaluate: Evaluate(request=EvaluationRequest(model="none", text="x")),
    Embed: Embed(request=EmbeddingRequest(model="none", texts=("x",))),
    Rerank: Rerank(request=RerankRequest(model="none", query="x", documents=("y",))),
    Tokenize: Tokenize(model="none", text="x"),
    Detokenize: Detokenize(model="none", token_ids=(1,)),
    Quantize: Quantize(model="none", recipe="q8_0", output="/none"),
    CompareExecutions: CompareExecutions(a="none", b="none"),
    PruneRecords: PruneRecords(recorded_before=timestamp_now()),
    Unsubscribe: Unsubscribe(subscription=0),
    Experiment: Experiment(
        baseline=PlanRequest(model="none"),
        candidates=(PlanRequest(model="none"),),
        workload=(WorkloadInput(prompt="x"),),
    ),
    **{kind: kind(experiment_id="none") for kind in (GetExperiment, StopExperiment)},
    Propose: Propose(plan=make_plan(RunRequest(model="none", prompt="x")), evidence=("none",), kpi="tokens_per_sec"),
    GetProposal: GetProposal(proposal_id="none"),
    MoveProposal: MoveProposal(proposal_id="none", state="rejected"),
    ApplyPlan: ApplyPlan(name="none", proposal="none"),
    **{kind: kind(name="none") for kind in (RollBackPlan, GetNamedPlan)},
}
"""Requests with fields that must be given, as short as they can be."""


async def test_every_message_has_a_handler(tmp_path: Path) -> None:
    endless = {Subscribe}
    async with real_client(tmp_path) as client:
        for kind in sorted(set(get_args(AskedMessage)) - endless, key=lambda kind: kind is Shutdown):
            request = MADE.get(kind) or kind()
            with suppress(EngineError):
                assert isinstance(await client.ask(request), request.answer_type())
        with pytest.raises(EngineUnreachable):
            await client.ask(Status())


async def test_each_stream_on_a_socket_has_every_token_of_its_record_once_and_in_order(
    model: Path, tmp_path: Path
) -> None:
    """Two threads of the engine write to that socket."""
    streams: dict[int, list[EngineMessage]] = {}
    async with real_client(tmp_path, tmp_path / "run" / "engine.sock") as client:

        async def follow(max_tokens: int) -> None:
            execution = request(model, max_tokens=max_tokens).execution.model_copy(
                update={"n": 1 + max_tokens % 2, "stop": Stop(eos=False), "stream": TokenStream(flush_ms=0)}
            )
            run = RunRequest(model=str(model), prompt="Hello", execution=execution)
            async with aclosing(client.run(run)) as messages:
                streams[max_tokens] = [message async for message in messages]

        async with trio.open_nursery() as nursery:
            for max_tokens in range(40, 48):
                nursery.start_soon(follow, max_tokens)
    for messages in streams.values():
        assert isinstance(messages[0], Accepted)
        finished = messages[-1]
        assert isinstance(finished, Finished)
        for index, choice in enumerate((finished.record, *finished.record.other_choices)):
            told = [each for each in messages if isinstance(each, Tokens) and each.choice == index]
            assert tuple(token for each in told for token in each.token_ids) == choice.token_ids
            assert "".join(each.text for each in told) == choice.result


async def test_observers_hear_of_tokens_that_the_stream_writer_sent(model: Path, tmp_path: Path) -> None:
    heard: list[int] = []
    async with real_client(tmp_path, tmp_path / "run" / "engine.sock") as client, trio.open_nursery() as nursery:

        async def observe(*, task_status: trio.TaskStatus[None]) -> None:
            async with aclosing(client.follow(Subscribe())) as events:
                async for event in events:
                    if isinstance(event, Subscribed):
                        task_status.started()
                    elif isinstance(event, Event) and isinstance(event.body, TokensEvent):
                        heard.append(event.body.tokens_total)

        await nursery.start(observe)
        run = request(model, max_tokens=40)
        execution = run.execution.model_copy(update={"stop": Stop(eos=False), "stream": TokenStream(flush_ms=0)})
        record = await record_of(client, run.model_copy(update={"execution": execution}))
        await until(lambda: heard[-1:] == [record.metrics.tokens_total])
        nursery.cancel_scope.cancel()
    assert heard == sorted(set(heard))


async def test_after_a_failed_backend_a_fresh_one_gives_the_same_answer(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain, failures = CpuBackend.drain, [RuntimeError("the run loop is gone")]

    def drain_or_fail(backend: CpuBackend) -> list[SequenceEvents]:
        if failures:
            raise failures.pop()
        return drain(backend)

    async with real_client(tmp_path) as client:
        expected = await record_of(client, request(model))
        monkeypatch.setattr(CpuBackend, "drain", drain_or_fail)
        with pytest.raises(InternalError, match="the run loop is gone"):
            await record_of(client, request(model))
        again = await record_of(client, request(model))
        assert (again.result, again.logits_digest) == (expected.result, expected.logits_digest)
        status = await client.ask(Status())
        assert [fault.consequence for fault in status.faults] == ["restarted"]
        assert len(status.models_loaded) == 1


async def test_a_finished_execution_is_replayed_from_its_record(model: Path, tmp_path: Path) -> None:
    """Its plan and its prompt's tokens are all it takes; who ran beside it, and what came before, is not in them."""
    sampling = Sampling(temperature=0.9, top_p=0.95, seed=7)
    execution = request(model).execution.model_copy(update={"sampling": sampling})
    records = []
    async with real_client(tmp_path) as client, trio.open_nursery() as nursery:

        async def run(prompt: str) -> None:
            records.append(await record_of(client, RunRequest(model=str(model), prompt=prompt, execution=execution)))

        for prompt in ("Hello", "one", "two words"):
            nursery.start_soon(run, prompt)
    for record in records:
        stored = ExecutionRecord.model_validate_json(record.model_dump_json())
        bench = Bench(tmp_path)
        bench.submit(1, stored.plan, stored.prompt_token_ids)
        replayed = await trio.to_thread.run_sync(bench.finish, 1)
        bench.backend.close()
        assert replayed.token_ids == record.token_ids
        assert replayed.logits_digest == record.logits_digest
    assert len({record.logits_digest for record in records}) == 3


async def test_tokens_and_text_of_a_stream_are_those_of_its_record(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client:
        messages = await collect(client, request(model, max_tokens=20))
        *_, finished = messages
        assert finished.type == "Finished"
        streamed = [message for message in messages if message.type == "Tokens"]
        assert tuple(token for message in streamed for token in message.token_ids) == finished.record.token_ids
        assert "".join(message.text for message in streamed) == finished.record.result


async def test_a_chat_is_rendered_with_the_models_template(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client:
        chat = RunRequest(
            model=str(model),
            messages=(ChatMessage(role="user", content="Hi"),),
            execution=request(model, max_tokens=2).execution,
        )
        record = await record_of(client, chat)
        assert record.plan.prompt_format == "chat_template"
        text = await client.ask(Detokenize(model=str(model), token_ids=record.prompt_token_ids))
        assert "Hi" in text.text


async def test_two_clients_at_once_get_what_each_would_get_alone(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client, trio.open_nursery() as nursery:
        prompts = ["one", "two words", "three of them"]
        alone = [await record_of(client, request(model, prompt)) for prompt in prompts]
        streams = [Stream() for _ in prompts]
        for stream, prompt in zip(streams, prompts, strict=True):
            nursery.start_soon(stream.follow, client, request(model, prompt))
        for stream, expected in zip(streams, alone, strict=True):
            await stream.ended.wait()
            assert stream.record.token_ids == expected.token_ids
            assert stream.record.logits_digest == expected.logits_digest


@pytest.fixture
def torn(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "torn.gguf"
    path.write_bytes(model.read_bytes()[:1000])
    return path


async def test_refusals_are_typed_and_the_engine_serves_on(model: Path, torn: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client:
        with pytest.raises(UnknownModel):
            await record_of(client, request(tmp_path / "nothing.gguf"))
        with pytest.raises(InvalidModel):
            await record_of(client, request(torn))
        with pytest.raises(UnsupportedBackend, match="cuda"):
            await record_of(client, request(model, backend="cuda"))
        with pytest.raises(PromptTooLong):
            await record_of(client, request(model, prompt="word " * 1000))
        assert (await record_of(client, request(model))).token_ids
