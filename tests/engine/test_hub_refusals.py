"""What the hub, the disk and the user refuse: what is said of it, and what is never said."""

from __future__ import annotations

import logging
import resource

import pytest

from protocol.errors import AmbiguousModel, DiskFull, DownloadFailed, UnknownModel
from tests.engine.hub_server import COMMIT
from tests.engine.hub_stage import CONTENT, HubStage

TOKEN = "hf_a_token_that_nobody_may_see"  # noqa: S105  of nobody


def test_of_several_models_one_must_be_named(stage: HubStage) -> None:
    parts = {"c-00001-of-00002.gguf": b"12", "c-00002-of-00002.gguf": b"345"}
    stage.offer(files={"b.gguf": CONTENT, "a.gguf": b"GGUF"} | parts)
    with pytest.raises(AmbiguousModel, match=r"pull hf:owner/repo/a\.gguf") as raised:
        stage.pull()
    assert raised.value.params["files"] == {"a.gguf": 4, "b.gguf": len(CONTENT), "c-00001-of-00002.gguf": 5}
    assert "b.gguf (0.3 MB)" in raised.value.message
    assert stage.files() == {}


def test_a_file_that_is_not_there_is_told_what_is(stage: HubStage) -> None:
    stage.offer(files={"a.gguf": b"x", "b.gguf": b"y"})
    with pytest.raises(UnknownModel, match=r"It has a\.gguf, b\.gguf"):
        stage.pull("hf:owner/repo/c.gguf")


def test_a_repository_without_models_says_so(stage: HubStage) -> None:
    stage.offer(files={"model.safetensors": b"x"})
    with pytest.raises(UnknownModel, match="holds no GGUF"):
        stage.pull()


def test_paths_that_lead_astray_are_not_offered(stage: HubStage) -> None:
    stage.offer(files={"../../evil.gguf": b"x", "/etc/evil.gguf": b"x", "a/../../evil.gguf": b"x"})
    with pytest.raises(UnknownModel, match="holds no GGUF"):
        stage.pull()


def test_a_split_model_with_a_part_missing_is_refused(stage: HubStage) -> None:
    stage.offer(files={"m-00001-of-00003.gguf": b"x", "m-00003-of-00003.gguf": b"z"})
    with pytest.raises(DownloadFailed, match=r"lacks m-00002-of-00003\.gguf"):
        stage.pull()


def test_a_repository_that_is_not_there_or_not_shown(stage: HubStage) -> None:
    with pytest.raises(UnknownModel, match="HF_TOKEN"):
        stage.pull("hf:nobody/nothing")


def test_a_revision_that_is_not_there(stage: HubStage) -> None:
    stage.offer()
    with pytest.raises(UnknownModel, match="no revision 'v9'"):
        stage.pull("hf:owner/repo@v9")


def test_a_gated_repository_says_how_to_get_in(stage: HubStage) -> None:
    stage.offer(gated=True)
    with pytest.raises(DownloadFailed, match=r"https://huggingface\.co/owner/repo") as raised:
        stage.pull()
    assert raised.value.params["reason"] == "gated"


def test_without_a_network_the_error_says_what_to_do(stage: HubStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.offer()
    stage.pull("hf:owner/repo/model.gguf")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1:9 cannot be reached: .*Check the network") as raised:
        stage.pull("hf:other/repo/model.gguf")
    assert raised.value.params["reason"] == "unreachable"
    with pytest.raises(DownloadFailed, match="is here from an earlier pull, and runs"):
        stage.pull("hf:owner/repo/model.gguf")


def test_the_users_own_offline_mode_is_named(stage: HubStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.offer()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE") as raised:
        stage.pull()
    assert raised.value.params["reason"] == "offline"
    assert stage.hub.requests == []


def test_what_answers_and_is_no_hub(stage: HubStage) -> None:
    stage.hub.mishaps.answer = b"<html>please log in to the hotel's network</html>"
    with pytest.raises(DownloadFailed, match="no model hub") as raised:
        stage.pull()
    assert raised.value.params["reason"] == "not_a_hub"


def test_a_disk_without_room_is_asked_before_the_network(stage: HubStage) -> None:
    stage.offer(sizes={"model.gguf": 2**60})
    with pytest.raises(DiskFull, match="models rm") as raised:
        stage.pull()
    assert raised.value.params["needed_bytes"] == 2**60
    assert stage.hub.ranges() == []
    assert stage.files() == {}


def test_a_disk_that_fills_up_keeps_what_has_arrived(stage: HubStage) -> None:
    stage.offer()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DiskFull, match="the incomplete file is kept"):
            stage.pull()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert stage.partial_sizes() == [100_000]
    assert stage.pull().read_bytes() == CONTENT
    assert stage.hub.ranges()[-1] == "bytes=100000-"


def test_a_models_directory_that_cannot_be_written(stage: HubStage) -> None:
    stage.offer()
    stage.models_dir.mkdir()
    (stage.models_dir / "hf").write_text("a file")
    with pytest.raises(DownloadFailed, match="could not be stored"):
        stage.pull()


# --- who asks -------------------------------------------------------------------------------------------------------


def test_a_token_goes_to_the_hub_and_nowhere_else(
    stage: HubStage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage.offer(token=TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with caplog.at_level(logging.DEBUG):
        stage.pull()
    sent_to_hub = {request.authorization for request in stage.hub.requests if "/store/" not in request.path}
    sent_to_store = {request.authorization for request in stage.hub.requests if "/store/" in request.path}
    assert (sent_to_hub, sent_to_store) == ({f"Bearer {TOKEN}"}, {None})
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("rest", ["\x01", "\t!", "é"])
def test_a_token_that_cannot_be_sent_is_not_told(stage: HubStage, monkeypatch: pytest.MonkeyPatch, rest: str) -> None:
    stage.offer()
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}{rest}")
    with pytest.raises(DownloadFailed, match="HF_TOKEN") as raised:
        stage.pull()
    assert stage.hub.requests == []
    assert TOKEN not in raised.value.message + str(raised.value.params)


def test_where_the_file_really_lies_is_not_told(stage: HubStage) -> None:
    stage.offer()
    stage.hub.mishaps.cut_after = [0] * 9
    with pytest.raises(DownloadFailed) as raised:
        stage.pull()
    assert "secret" not in raised.value.message + str(raised.value.params)


def test_an_endpoints_password_is_not_told(stage: HubStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://user:password@127.0.0.1:9")
    with pytest.raises(DownloadFailed) as raised:
        stage.pull()
    assert "password" not in raised.value.message + str(raised.value.params)


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://host", "http://", "http://host:port", "http://[broken"])
def test_an_endpoint_that_is_no_address(stage: HubStage, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(DownloadFailed, match="HF_ENDPOINT") as raised:
        stage.pull()
    assert raised.value.params["reason"] == "not_a_hub"


def test_nothing_else_is_asked_of_the_hub(stage: HubStage) -> None:
    stage.offer()
    stage.pull()
    assert [request.path.partition("?")[0] for request in stage.hub.requests] == [
        "/api/models/owner/repo",
        f"/owner/repo/resolve/{COMMIT}/model.gguf",
        "/store/owner/repo/model.gguf",
    ]
