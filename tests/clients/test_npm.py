"""Packages of npm against the engine, by Node's own runner of tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.http_engine import REPOSITORY, HttpEngine

PACKAGES = REPOSITORY / "build/clients-npm/node_modules"
TESTS = sorted(Path(__file__).with_name("npm").glob("*.test.mjs"))

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not here"),
    pytest.mark.skipif(not PACKAGES.is_dir(), reason="make test-clients fetches them"),
]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.partition(".")[0])
def test_a_package_of_npm(path: Path, engine: HttpEngine, tmp_path: Path) -> None:
    # Modules are looked for beside the file that imports them.
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    test = shutil.copy(path, tmp_path)
    result = subprocess.run(  # noqa: S603  the test beside this one
        ["node", "--test", "--test-reporter=spec", test],  # noqa: S607  whichever node is here
        env={**os.environ, "ENGINE_URL": engine.url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
