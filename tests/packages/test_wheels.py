"""Wheels from ``make wheel``, each in an empty environment of its Python: ``make test-packages``."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from tests.packages.installed_engine import InstalledEngine, output_of
from tests.support.gguf_factory import write_tiny_model

ROOT = Path(__file__).parents[2]
DIST = Path(os.environ.get("ENGINE_TEST_DIST", "/dev/null"))
"""The folder of packages; without it these tests are skipped."""
WHEELS = sorted(DIST.glob("weos_engine-*.whl"))
LARGEST_MB = 8
"""A wheel holds Python, an extension of about 3 MB and schemas: more is something that should not be there."""


@pytest.fixture(scope="module", params=WHEELS, ids=lambda wheel: wheel.name.split("-")[2])
def wheel(request: pytest.FixtureRequest) -> Path:
    """Each wheel in turn."""
    return Path(request.param)


@pytest.fixture(scope="module")
def engine(wheel: Path) -> Iterator[InstalledEngine]:
    """The wheel, installed by pip and by nothing else."""
    python = ROOT / "build" / "wheel" / tag_of(wheel).interpreter / "venv" / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="engine-") as made:
        home = Path(made)
        output_of([str(python), "-m", "venv", str(home / "venv")], home)
        bin_folder = home / "venv" / "bin"
        output_of([str(bin_folder / "python"), "-m", "pip", "install", "--only-binary=:all:", str(wheel)], home)
        yield InstalledEngine(bin_folder / "engine-ctl", home)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few kilobytes."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


def tag_of(wheel: Path) -> Tag:
    """The one tag, or the one for the oldest system."""
    return min(parse_wheel_filename(wheel.name)[3], key=lambda tag: tag.platform)


def arithmetic(version: str) -> str:
    """The digest of a build's arithmetic, in what ``--version`` prints."""
    found = re.search(r"^arithmetic ([0-9a-f]{32})$", version, re.MULTILINE)
    assert found, version
    return found[1]


def test_a_wheel_is_for_systems_of_years_ago_and_small(wheel: Path) -> None:
    assert re.fullmatch(r"manylinux_2_\d\d_x86_64", tag_of(wheel).platform)
    assert int(tag_of(wheel).platform.split("_")[2]) <= 35
    assert wheel.stat().st_size < LARGEST_MB * 1_000_000


def test_an_installed_wheel_computes_the_same_bits_as_the_tree(engine: InstalledEngine, model: Path) -> None:
    here = output_of([str(Path(sys.executable).with_name("engine-ctl")), "--version"], engine.home)
    assert arithmetic(engine.run("--version")) == arithmetic(here)
    assert engine.record(model, "Once")["token_ids"]


def test_an_installed_wheel_holds_answers_to_a_grammar(engine: InstalledEngine, model: Path) -> None:
    record = engine.record(model, "Once", "--regex", "[a-z]{1,4}")
    assert re.fullmatch("[a-z]{1,4}", record["result"])


@pytest.mark.parametrize("features", ["none", "avx2", "avx2,avx_vnni", "avx2,avx512_vnni"])
def test_an_installed_wheel_runs_where_the_processor_has_less(
    features: str, engine: InstalledEngine, model: Path
) -> None:
    assert (
        engine.record(model, "Once", ENGINE_CPU_FEATURES=features)["logits_digest"]
        == engine.record(model, "Once")["logits_digest"]
    )


@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="qemu-x86_64 is not installed")
def test_an_installed_wheel_runs_on_an_emulated_processor(engine: InstalledEngine, model: Path) -> None:
    emulated = engine.record(model, "Once", emulator=("qemu-x86_64", "-cpu", "Haswell"))
    assert emulated["hardware"]["kernel_path"] == "cpu_avx2"
    # Halves that are subnormal are read otherwise by the emulator, which shows in logits and not in what is drawn.
    assert emulated["token_ids"] == engine.record(model, "Once")["token_ids"]


def test_every_command_is_there(engine: InstalledEngine) -> None:
    assert "Usage: engine-ctl" in engine.run("--help")
    pages = engine.home / "man"
    engine.run("man", str(pages))
    assert (pages / "engine-ctl.1").is_file()
