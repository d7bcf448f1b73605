"""The README's session shows what the engine answers, with the bits that it promises."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.tools.command_line import engine_ctl

README = Path(__file__).parents[2] / "README.md"


def test_readme_shows_the_engines_own_answer(smollm2_path: Path, socket_path: Path) -> None:
    scalar, vectorised = re.findall(r'^\[".+","[0-9a-f]{32}"\]$', README.read_text(), flags=re.MULTILINE)
    assert scalar == vectorised

    prompt = ("--prompt", "The capital of France is", "--max-tokens", "8")
    result = engine_ctl("run", "--socket", str(socket_path), "--model", str(smollm2_path), *prompt, "--json")

    record = json.loads(result.stdout)
    assert [record["result"], record["logits_digest"]] == json.loads(scalar)
