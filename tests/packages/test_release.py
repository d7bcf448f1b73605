"""What is packed and by what rules, of what can be known without building any of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest
import tomli

from engine_ctl.main import main
from tests.packages.containerfile import steps
from tests.packages.packaging_program import PACKAGING, program

ROOT = Path(__file__).parents[2]
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_debian_package_has_the_commands_that_a_wheel_has() -> None:
    commands = program("debian/build_deb.py").COMMANDS
    assert {name: f"{module}:main" for name, module in commands.items()} == PROJECT["scripts"]
    unfilled = set(re.findall(r"\$\{(\w+)\}", (PACKAGING / "debian" / "control").read_text(encoding="utf-8")))
    assert unfilled == {"version", "maintainer", "installed_kib", "depends"}


def test_a_container_serves_as_a_user_and_asks_for_a_secret() -> None:
    found = steps((PACKAGING / "container" / "Containerfile").read_text(encoding="utf-8"))
    assert [name for name, _ in found].index("USER") < [name for name, _ in found].index("ENTRYPOINT")
    assert ("COPY", "dist/weos-engine_*_amd64.deb /tmp/") in found
    command, *arguments = re.findall('"([^"]+)"', dict(found)["CMD"])
    assert isinstance(main, click.Group)
    serve = main.get_command(click.Context(main), command)
    assert serve is not None
    known = {spelling for param in serve.params for spelling in param.opts}
    assert [word for word in arguments if word.startswith("--") and word not in known] == []
    assert "--http-token-file" in arguments


def test_a_debian_package_of_no_wheel_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["build_deb.py", "dist/weos_engine-*-cp399-*.whl"])
    with pytest.raises(SystemExit, match=r"cp399-\*\.whl is not there: make wheel builds it"):
        program("debian/build_deb.py").main()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of one commit, with a changelog."""
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [1.2.3] - 2026-01-02\n\n- All.\n", encoding="utf-8")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for line in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "-m", "All"), ("tag", "v1.2.3")):
        subprocess.run(("git", *line), cwd=tmp_path, check=True)  # noqa: S603, S607  our own
    return tmp_path


@pytest.fixture
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The names of a whole release."""
    folder = tmp_path_factory.mktemp("dist")
    pythons = program("release/faults.py").SUPPORTED
    names = [f"weos_engine-1.2.3-{python}-{python}-manylinux_2_28_x86_64.whl" for python in pythons]
    names += ["weos_client-1.2.3-py3-none-any.whl", "weos_engine-1.2.3.tar.gz", "weos-engine_1.2.3-1_amd64.deb"]
    for name in names:
        (folder / name).touch()
    return folder


def test_nothing_stands_against_a_whole_release(tree: Path, packages: Path) -> None:
    assert program("release/faults.py").faults_of(tree, packages, "1.2.3") == []


def test_what_is_missing_from_a_release_is_told(tree: Path, packages: Path) -> None:
    (packages / "weos_engine-1.2.3.tar.gz").rename(packages / "weos_engine-1.2.2.tar.gz")
    (tree / "CHANGELOG.md").write_text("## [Unreleased]\n\n- More.\n\n## [1.2.2] - 2026-01-01\n", encoding="utf-8")
    subprocess.run(("git", "tag", "--delete", "v1.2.3"), cwd=tree, check=True, capture_output=True)  # noqa: S607  our own
    faults = program("release/faults.py")
    found = faults.faults_of(tree, packages, "1.2.3")
    assert list(faults.faults_of_tree(tree, "1.2.3")) == found[:4]  # what is told before anything is built
    assert found == [
        "CHANGELOG.md has no section '## [1.2.3] - YYYY-MM-DD'",
        "CHANGELOG.md tells of changes that are unreleased",
        "the commit has no tag v1.2.3",
        "the tree has changes that are not committed",
        f"0 files are weos_engine-1.2.3.tar.gz in {packages}, not one",
        "weos_engine-1.2.2.tar.gz is of another version than 1.2.3",
    ]
