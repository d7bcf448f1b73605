"""Documents are ranked by a model that judges pairs; each kind of model refuses what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.operations.embedding import Embedding
from engine.operations.evaluation import Evaluation
from engine.operations.reranking import Reranking
from protocol.embedding import EmbeddingRequest
from protocol.errors import EngineError, OutOfMemoryBudget, PromptTooLong, UnsupportedModel
from protocol.evaluation import EvaluationRequest
from protocol.operation_answers import Reranked
from protocol.plan import RunRequest
from protocol.requests import Embed, Evaluate, Rerank
from protocol.reranking import RerankRequest
from tests.engine.backend_bench import MACHINE
from tests.engine.operation_stage import OperationStage, cancel_when_begun
from tests.golden.exact.encoder import ExactEncoder
from tests.support.encoder_models import CASES, write_encoder_model
from tests.support.gguf_factory import write_tiny_model

QUERY = "the cat sat"
DOCUMENTS = ("hello world", "the cat sat on the mat", "a dog runs", "the cat sat on the mat")


class Stage(OperationStage):
    def ranking(self, model: Path, **fields: object) -> Reranking:
        content = {"model": str(model), "backend": "reference", "query": QUERY, "documents": DOCUMENTS, **fields}
        return Reranking(Rerank(request=RerankRequest.model_validate(content)), self.planner, self.backend, self.energy)

    def ranked(self, model: Path, **fields: object) -> Reranked:
        return self.ranking(model, **fields).run()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.backend.close()


@pytest.fixture
def reranker(tmp_path: Path) -> Path:
    return write_encoder_model(tmp_path / "reranker.gguf", **CASES["reranker"])


def test_documents_come_in_the_order_of_their_scores(stage: Stage, reranker: Path) -> None:
    """The one named first comes first among equals; the scores are those of float64."""
    answer = stage.ranked(reranker)
    scores = [result.score for result in answer.results]
    assert scores == sorted(scores, reverse=True)
    places = [result.index for result in answer.results]
    assert sorted(places) == [0, 1, 2, 3]
    assert places.index(3) == places.index(1) + 1
    tokenizer = stage.planner.registry.resolve(str(reranker)).tokenizer
    begin, *query, end = tokenizer.encode(QUERY)
    exact = ExactEncoder(reranker)
    for result in answer.results:
        document = tokenizer.encode(DOCUMENTS[result.index], add_special=False)
        pair = [begin, *query, end, *document, end]
        assert result.score == pytest.approx(exact.score(pair, len(query) + 2), abs=2e-3)
        assert result.tokens == len(pair)
    assert answer.tokens == sum(result.tokens for result in answer.results)


def test_a_score_depends_on_its_own_document_alone(stage: Stage, reranker: Path) -> None:
    stage.planner = replace(stage.planner, machine=replace(MACHINE, allowed_cpus=2))
    all_of_them = {result.index: result.score for result in stage.ranked(reranker, threads=2).results}
    alone = [stage.ranked(reranker, documents=(document,)).results[0].score for document in DOCUMENTS]
    assert all_of_them == dict(enumerate(alone))
    (best,) = stage.ranked(reranker, top_n=1).results
    assert best.score == max(alone)


def test_a_pair_beyond_the_context_is_refused_by_its_place(stage: Stage, reranker: Path) -> None:
    with pytest.raises(PromptTooLong) as raised:
        stage.ranked(reranker, documents=("cat", "cat " * 600))
    assert raised.value.params["field"] == "request.documents.1"
    with pytest.raises(OutOfMemoryBudget):
        stage.ranked(reranker, memory_mb=1)
    assert stage.in_use() == []


def test_a_ranking_can_be_ended(stage: Stage, reranker: Path) -> None:
    cancel_when_begun(stage.ranking(reranker, documents=("cat " * 500,) * 64), "tokens")
    assert stage.in_use() == [False]


@pytest.mark.parametrize("case", ["bert", "nomic_bert", "gemma_embedding", "decoder"])
def test_what_has_no_classifier_ranks_nothing(stage: Stage, case: str, tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    other = write_tiny_model(path) if case == "decoder" else write_encoder_model(path, **CASES[case])
    with pytest.raises(UnsupportedModel, match="cannot rank documents"):
        stage.ranked(other)


def test_half_a_classifier_is_none(stage: Stage, reranker: Path) -> None:
    content = reranker.read_bytes()
    reranker.write_bytes(
        content.replace(b"cls.output.weight", b"cls.weighted.size").replace(b"cls.output.bias", b"cls.weigh_.bias")
    )
    with pytest.raises(UnsupportedModel, match="it has no classifier"):
        stage.ranked(reranker)


def test_what_reads_texts_whole_writes_none(stage: Stage, reranker: Path) -> None:
    def refused(error: type[EngineError], request: RunRequest) -> str:
        with pytest.raises(error) as raised:
            stage.planner.prepare(request)
        return raised.value.message

    assert "it can Embed and Rerank" in refused(UnsupportedModel, RunRequest(model=str(reranker), prompt="cat"))
    evaluate = Evaluate(request=EvaluationRequest(model=str(reranker), text="cat " * 100))
    with pytest.raises(UnsupportedModel, match="writes none"):
        Evaluation(evaluate, stage.planner, stage.backend).run()


def test_texts_of_words_are_embedded_by_the_files_own_pooling(stage: Stage, tmp_path: Path) -> None:
    narrower = {**CASES["gemma_embedding"], "pooled": (192, 64)}
    for options, pooling, width in (
        (CASES["bert"], "mean", 96),
        (CASES["bert_cls"], "cls", 64),
        (narrower, "mean", 64),
    ):
        path = write_encoder_model(tmp_path / f"{pooling}{width}.gguf", **options)
        request = EmbeddingRequest(model=str(path), texts=(QUERY, *DOCUMENTS), backend="reference")
        answer = Embedding(Embed(request=request), stage.planner, stage.backend, stage.energy).run()
        assert (answer.pooling, answer.pooling_from) == (pooling, "model")
        assert answer.dimension == width
        ids = stage.planner.registry.resolve(str(path)).tokenizer.encode(QUERY)
        cosine = sum(
            a * b for a, b in zip(answer.texts[0].values, ExactEncoder(path).vector(ids, pooling), strict=True)
        )
        assert cosine >= 0.9999
