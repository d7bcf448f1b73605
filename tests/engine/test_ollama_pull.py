"""Pulling what Ollama's registry has, from one on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.artifact.content_hash import ContentHashes
from engine.fetch.fetch import fetch_reference
from engine.fetch.ollama.reference import OllamaReference, ollama_name_at
from engine.fetch.pull_watch import PullWatch
from engine.models.models_directory import ModelsDirectory
from protocol.errors import DownloadFailed, InvalidRequest, UnknownModel, UnsupportedModel
from tests.engine.web_server import WebServer

CONTENT = b"GGUF" + bytes(range(256)) * 1000
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
LAYER = "application/vnd.ollama.image."


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with WebServer() as web:
        monkeypatch.setenv("ENGINE_OLLAMA_REGISTRY", web.url)
        offer(web, "library/tiny", "1b", {"model": CONTENT, "template": b"{{ .Prompt }}", "license": b"MIT"})
        yield web


def offer(web: WebServer, repository: str, tag: str, layers: dict[str, bytes]) -> None:
    listed = []
    for kind, content in layers.items():
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        listed.append({"mediaType": LAYER + kind, "digest": digest, "size": len(content)})
        web.files[f"/v2/{repository}/blobs/{digest}"] = content
    web.files[f"/v2/{repository}/manifests/{tag}"] = json.dumps({"schemaVersion": 2, "layers": listed}).encode()


def pull(name: str, directory: Path) -> Path:
    return fetch_reference(
        OllamaReference.parse(name),
        PullWatch(),
        models_dir=directory / "models",
        hashes=ContentHashes(directory / "content-hashes.json"),
        first_pause_s=0.001,
    )


def test_the_model_among_the_layers_arrives_and_has_ollamas_name(registry: WebServer, tmp_path: Path) -> None:
    place = pull("ollama:tiny:1b", tmp_path)
    assert place == tmp_path / "models/ollama/library/tiny/1b.gguf"
    assert place.read_bytes() == CONTENT
    assert registry.accepted[0] == "application/vnd.docker.distribution.manifest.v2+json"
    directory = ModelsDirectory(tmp_path / "models")
    (model,) = directory.models()
    assert (model.name, model.source) == ("ollama:tiny:1b", "ollama")
    for name in ("ollama:tiny:1b", "tiny:1b", "registry.ollama.ai/library/tiny:1b", "Ollama:Tiny:1B"):
        assert directory.find(name) == model
    assert directory.find("1b") is None


def test_the_tag_is_latest_where_none_is_named(registry: WebServer, tmp_path: Path) -> None:
    offer(registry, "somebody/tiny", "latest", {"model": CONTENT})
    assert pull("ollama:somebody/tiny", tmp_path) == tmp_path / "models/ollama/somebody/tiny/latest.gguf"
    found = ModelsDirectory(tmp_path / "models").find("somebody/tiny")
    assert found is not None
    assert found.name == "ollama:somebody/tiny:latest"


def test_a_cut_connection_is_taken_up_and_what_is_whole_stays(registry: WebServer, tmp_path: Path) -> None:
    registry.cut_after += [100_000]
    pull("ollama:tiny:1b", tmp_path)
    assert registry.ranges == [None, None, "bytes=100000-"]
    pull("ollama:tiny:1b", tmp_path)
    assert len(registry.ranges) == 4  # the manifest alone


def test_the_store_may_lie_elsewhere(registry: WebServer, tmp_path: Path) -> None:
    blob = f"/v2/library/tiny/blobs/{DIGEST}"
    registry.files["/store"] = registry.files.pop(blob)
    registry.redirects[blob] = "/store"
    assert pull("ollama:tiny:1b", tmp_path).read_bytes() == CONTENT


def test_other_bytes_than_the_digest_says_are_refused(registry: WebServer, tmp_path: Path) -> None:
    registry.files[f"/v2/library/tiny/blobs/{DIGEST}"] = CONTENT[::-1]
    with pytest.raises(DownloadFailed, match="checksum"):
        pull("ollama:tiny:1b", tmp_path)
    assert not [path for path in (tmp_path / "models").rglob("*") if path.is_file()]


def test_what_the_registry_does_not_have_is_unknown(registry: WebServer, tmp_path: Path) -> None:
    for name in ("ollama:tiny:70b", "ollama:nobody/tiny"):
        with pytest.raises(UnknownModel, match=name):
            pull(name, tmp_path)


def test_an_adapter_is_refused_by_name(registry: WebServer, tmp_path: Path) -> None:
    offer(registry, "library/tiny", "tuned", {"model": CONTENT, "adapter": b"GGUF"})
    with pytest.raises(UnsupportedModel, match="adapter"):
        pull("ollama:tiny:tuned", tmp_path)
    offer(registry, "library/tiny", "empty", {"license": b"MIT"})
    with pytest.raises(UnsupportedModel, match="no GGUF"):
        pull("ollama:tiny:empty", tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"layers": 5}',
        b'{"layers": [{"mediaType": "application/vnd.ollama.image.model"}]}',
        b'{"layers": [{"mediaType": "application/vnd.ollama.image.model", "size": -1, "digest": "sha256:00"}]}',
        b'{"layers": [{"mediaType": "application/vnd.ollama.image.model", "size": 9, "digest": "sha256:../../x"}]}',
        b'{"layers": [{"mediaType": "application/vnd.ollama.image.model", "size": true, "digest": 5}]}',
    ],
)
def test_an_odd_manifest_is_no_registry(registry: WebServer, tmp_path: Path, manifest: bytes) -> None:
    registry.files["/v2/library/tiny/manifests/1b"] = manifest
    with pytest.raises(DownloadFailed) as raised:
        pull("ollama:tiny:1b", tmp_path)
    assert raised.value.params["reason"] == "not_a_registry"


def test_a_registry_that_is_not_there_says_so_and_what_is_here_runs(
    registry: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull("ollama:tiny:1b", tmp_path)
    monkeypatch.setenv("ENGINE_OLLAMA_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match="is here from an earlier pull"):
        pull("ollama:tiny:1b", tmp_path)
    monkeypatch.setenv("ENGINE_OLLAMA_REGISTRY", "nonsense")
    with pytest.raises(DownloadFailed, match="ENGINE_OLLAMA_REGISTRY"):
        pull("ollama:other", tmp_path)


@pytest.mark.parametrize(
    "text",
    ["ollama:", "ollama:a/b/c", "ollama:../x", "ollama:a/..", "ollama:x:", "ollama:x:a/b", "ollama:x:..", "ollama:-x"],
)
def test_what_names_nothing_there_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="ollama:"):
        OllamaReference.parse(text)


@pytest.mark.parametrize("text", ["ollama:tiny:1b", "ollama:somebody/tiny:q4_K_M", "ollama:tiny.5:latest"])
def test_name_and_place_follow_from_each_other(text: str) -> None:
    reference = OllamaReference.parse(text)
    assert (reference.name, ollama_name_at(reference.place)) == (text, text)


def test_a_file_that_no_pull_put_there_has_no_name_of_the_registry() -> None:
    assert ollama_name_at(Path("ollama/tiny.gguf")) is None
    assert ollama_name_at(Path("ollama/a/b/c/d.gguf")) is None
