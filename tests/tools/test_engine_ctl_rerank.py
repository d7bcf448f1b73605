"""`engine-ctl rerank`, from a query to documents in order, on a model that is read in milliseconds; and over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.encoder_models import CASES, write_encoder_model
from tests.tools.command_line import engine_ctl

DOCUMENTS = ("hello world", "the cat sat on the mat", "a dog runs")


@pytest.fixture
def reranker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    return write_encoder_model(tmp_path / "reranker.gguf", **CASES["reranker"])


def test_documents_are_shown_the_best_first(reranker: Path, tmp_path: Path) -> None:
    told = json.loads(engine_ctl("rerank", str(reranker), "the cat", *DOCUMENTS, "--json").stdout)
    places = [result["index"] for result in told["results"]]
    assert sorted(places) == [0, 1, 2]
    lines = engine_ctl("rerank", str(reranker), "the cat", *DOCUMENTS).stdout.splitlines()
    assert [line.split(None, 2)[2] for line in lines[1:]] == [DOCUMENTS[place] for place in places]
    (tmp_path / "texts").write_text("\n".join(DOCUMENTS[1:]) + "\n")
    rest = ("--file", str(tmp_path / "texts"), "--top", "1", "--json")
    best = json.loads(engine_ctl("rerank", str(reranker), "the cat", DOCUMENTS[0], *rest).stdout)
    assert best["results"] == told["results"][:1]


def test_what_is_missing_is_told(reranker: Path) -> None:
    refused = engine_ctl("rerank", str(reranker), "the cat")
    assert refused.exit_code == 2
    assert "Give a QUERY, and a DOCUMENT or --file." in refused.output


def test_a_model_that_ranks_runs_nothing(reranker: Path) -> None:
    refused = engine_ctl("run", "--model", str(reranker), "--prompt", "the cat", "--raw", "--json")
    assert refused.exit_code != 0
    assert json.loads(refused.stdout)["error"]["code"] == "unsupported_model"
