"""Names on the hub: what they mean, where they lead, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.fetch.hub.reference import HubReference, name_of
from protocol.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:owner/repo", HubReference("owner", "repo")),
        ("hf://owner/repo", HubReference("owner", "repo")),
        ("HF:owner/repo", HubReference("owner", "repo")),
        ("hf:owner/repo/model.gguf", HubReference("owner", "repo", None, "model.gguf")),
        ("hf:owner/repo/sub/Model.GGUF", HubReference("owner", "repo", None, "sub/Model.GGUF")),
        ("hf:owner/repo@v1", HubReference("owner", "repo", "v1")),
        ("hf:owner/repo@v1/model.gguf", HubReference("owner", "repo", "v1", "model.gguf")),
        ("hf:owner/repo/model.gguf@v1", HubReference("owner", "repo", "v1", "model.gguf")),
        ("hf:owner/repo@refs/pr/1", HubReference("owner", "repo", "refs/pr/1")),
        ("hf:owner/repo@refs%2Fpr%2F1/m.gguf", HubReference("owner", "repo", "refs/pr/1", "m.gguf")),
        ("hf:owner/repo:Q4_K_M", HubReference("owner", "repo", None, None, "Q4_K_M")),
        ("hf:owner/repo@v1:q8_0", HubReference("owner", "repo", "v1", None, "q8_0")),
        ("hf:owner/repo:IQ2_XXS@v1", HubReference("owner", "repo", "v1", None, "IQ2_XXS")),
        ("hf:The_Owner/repo-1.5B_v0.1-GGUF", HubReference("The_Owner", "repo-1.5B_v0.1-GGUF")),
    ],
)
def test_a_reference_is_read(text: str, expected: HubReference) -> None:
    assert HubReference.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "hf:",
        "hf:owner",
        "hf:owner/",
        "hf:/repo",
        "hf:owner/repo/",
        "hf:owner/repo/model.safetensors",
        "hf:owner/repo/sub/",
        "hf:owner/repo@",
        "hf:owner/repo@v1/model.gguf@v2",
        "hf:owner/repo@v1@v2",
        "hf:owner/repo:",
        "hf:owner/repo:Q4-K",
        "hf:owner/repo:Q4_K_M/model.gguf",
        "hf:owner/repo:.*",
        "hf:../repo/model.gguf",
        "hf:owner/../model.gguf",
        "hf:owner/..",
        "hf:owner/repo/../model.gguf",
        "hf:owner/repo/sub/../../model.gguf",
        "hf:owner/repo//model.gguf",
        "hf:owner/repo/.gguf",
        "hf:owner/repo/.hidden.gguf",
        "hf:owner/repo/a\\b.gguf",
        "hf:owner/repo/a\nb.gguf",
        "hf:owner/repo/a\0b.gguf",
        "hf:own er/repo",
        "hf:owner/re--po",
        "hf:owner/" + "r" * 97,
        "hf:owner/repo/" + "x" * 300 + ".gguf",
        "hf:owner/repo@" + "v" * 300,
        "owner/repo",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="hf:OWNER/REPO"):
        HubReference.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "hf:o/r/m.gguf",
        "hf:o/r/sub/m.gguf",
        "hf:o/r@v1/m.gguf",
        "hf:o/r@refs%2Fpr%2F1/m.gguf",
        "hf:o/r@v1",
        "hf:o/r:Q8_0",
    ],
)
def test_name_and_place_follow_from_each_other(text: str) -> None:
    reference = HubReference.parse(text)
    assert reference.name == text
    if reference.file is not None:
        assert name_of(reference.directory / reference.file) == text


def test_revisions_lie_apart() -> None:
    places = {HubReference("o", "r", revision, "m.gguf").directory for revision in (None, "v1", "v2", "a/b")}
    assert places == {Path("hf/o/r"), Path("hf/o/r@v1"), Path("hf/o/r@v2"), Path("hf/o/r@a%2Fb")}
