"""Wheels from ``make wheel`` on other systems than the one of their build, installed by the pipx of each."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.packages.clean_root import DEBIAN_13, UBUNTU_22_04, CleanRoot, Release
from tests.support.gguf_factory import write_tiny_model

DIST = Path(os.environ.get("ENGINE_TEST_DIST", "/dev/null"))
"""The folder of packages; without it these tests are skipped."""


@pytest.mark.parametrize(("release", "tag"), [(UBUNTU_22_04, "cp310"), (DEBIAN_13, "cp313")], ids=["jammy", "trixie"])
def test_pipx_of_the_system_installs_a_wheel_that_answers(release: Release, tag: str, tmp_path: Path) -> None:
    wheels = sorted(DIST.glob(f"weos_engine-*-{tag}-*.whl"))
    if not wheels:
        pytest.skip(f"ENGINE_TEST_DIST names no folder with a wheel for {tag}")
    root = CleanRoot(tmp_path / "root", release)
    shutil.copy(wheels[0], root.folder / "srv")
    write_tiny_model(root.folder / "srv" / "tiny.gguf")
    root.install("pipx")
    root.run("useradd --create-home somebody")
    answered = root.run(
        f"""cd
        pipx install --pip-args=--no-compile /srv/{wheels[0].name} >log
        .local/bin/engine-ctl run /srv/tiny.gguf Once --max-tokens 4 --json
        pipx uninstall weos-engine >log
        test ! -e .local/bin/engine-ctl
        """,
        "somebody",
        HOME="/home/somebody",
    )
    assert json.loads(answered)["token_ids"]
    shutil.rmtree(root.folder)
