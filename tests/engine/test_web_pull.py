"""Pulling a model from an address, from a server on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.artifact.content_hash import ContentHashes
from engine.fetch.fetch import fetch_reference
from engine.fetch.pull_watch import PullWatch
from engine.fetch.web.reference import WebReference, web_name_at
from engine.models.models_directory import ModelsDirectory
from protocol.errors import DownloadFailed, InvalidRequest, UnknownModel
from tests.engine.web_server import WebServer

CONTENT = b"GGUF" + bytes(range(256)) * 1000
PATH = "/models/tiny.gguf"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with WebServer({PATH: CONTENT}) as web:
        yield web


def pull(address: str, directory: Path) -> Path:
    return fetch_reference(
        WebReference.parse(address),
        PullWatch(),
        models_dir=directory / "models",
        hashes=ContentHashes(directory / "content-hashes.json"),
        first_pause_s=0.001,
    )


def files(directory: Path) -> list[str]:
    return [path.name for path in (directory / "models").rglob("*") if path.is_file()]


def test_a_model_arrives_and_its_address_is_its_name(web: WebServer, tmp_path: Path) -> None:
    place = pull(web.url + PATH, tmp_path)
    assert place.read_bytes() == CONTENT
    directory = ModelsDirectory(tmp_path / "models")
    (model,) = directory.models()
    assert (model.name, model.source) == (web.url + PATH, "web")
    assert directory.find(web.url + PATH) == directory.find("tiny") == model


def test_a_checksum_holds_the_content(web: WebServer, tmp_path: Path) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()
    assert pull(f"{web.url}{PATH}#sha256={right}", tmp_path).read_bytes() == CONTENT
    with pytest.raises(DownloadFailed, match="checksum"):
        pull(f"{web.url}{PATH}#sha256={'0' * 64}", tmp_path)
    assert files(tmp_path) == ["tiny.gguf"]


def test_a_cut_connection_is_taken_up_where_it_broke(web: WebServer, tmp_path: Path) -> None:
    web.cut_after += [len(CONTENT) - 1, 1000]  # the first answer is that of the look-up, which reads nothing
    assert pull(web.url + PATH, tmp_path).read_bytes() == CONTENT
    assert web.ranges[-1] is not None


def test_what_is_here_in_the_same_size_is_not_fetched_again(web: WebServer, tmp_path: Path) -> None:
    pull(web.url + PATH, tmp_path)
    asked = len(web.ranges)
    pull(web.url + PATH, tmp_path)
    assert len(web.ranges) == asked + 1  # the look-up
    web.files[PATH] = CONTENT + b"more"
    assert pull(web.url + PATH, tmp_path).read_bytes() == CONTENT + b"more"


def test_a_page_in_place_of_a_model_is_not_stored(web: WebServer, tmp_path: Path) -> None:
    web.files[PATH] = b"<html>please log in</html>"
    with pytest.raises(DownloadFailed, match="not a GGUF") as raised:
        pull(web.url + PATH, tmp_path)
    assert raised.value.params["reason"] == "not_a_model"
    assert files(tmp_path) == []


def test_an_address_without_a_file_is_unknown(web: WebServer, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="nothing at"):
        pull(f"{web.url}/other.gguf", tmp_path)


def test_a_server_that_tells_no_size_is_refused(web: WebServer, tmp_path: Path) -> None:
    web.sizes_told = False
    with pytest.raises(DownloadFailed, match="how large"):
        pull(web.url + PATH, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "https://host/model.safetensors",
        "https://host/.gguf",
        "https://host/../model.gguf",
        "https://host/a//model.gguf",
        "https://host/model.gguf?token=secret",
        "https://user:password@host/model.gguf",
        "https://host/model.gguf#sha256=12",
        "https:///model.gguf",
        "https://host/" + "x" * 300 + ".gguf",
        "http://models.example/model.gguf",
    ],
)
def test_an_address_that_could_be_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        WebReference.parse(text)


@pytest.mark.parametrize(
    "text", ["https://host.example/a/b.gguf", "https://host.example:8443/b%20c.gguf", "http://127.0.0.1:80/b.gguf"]
)
def test_name_and_place_follow_from_each_other(text: str) -> None:
    reference = WebReference.parse(text)
    assert (reference.name, web_name_at(reference.place)) == (text, text)


def test_host_and_scheme_are_in_lower_case() -> None:
    assert WebReference.parse("HTTPS://Host.Example/Model.gguf").name == "https://host.example/Model.gguf"
