"""The versions that the documentation names are those that are installed for the tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.clients.http_engine import REPOSITORY

FOLDER = Path(__file__).parent


def test_the_documentation_names_every_client_in_its_version() -> None:
    page = (REPOSITORY / "docs/http.md").read_text()
    pinned = re.findall(r"^([\w-]+)(?:\[[\w,]+\])?==([\d.]+)", (FOLDER / "requirements.txt").read_text(), re.MULTILINE)
    packages = json.loads((FOLDER / "npm/package.json").read_text())["dependencies"]
    npm = [(f"npm's `{name}`", packages[name]) for name in ("ai", "ollama", "openai")]
    assert len(pinned) == 8
    rows = [f"| `{name}` {version} |" for name, version in pinned] + [f"| {name} {version} |" for name, version in npm]
    assert [row for row in rows if row not in page] == []
