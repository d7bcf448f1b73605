"""The files for the service manager and the device manager say what the engine says; a wheel holds what it needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from configparser import ConfigParser
from pathlib import Path

import click
import pytest
import tomli

from actors.unix_socket import PASSED_HTTP_NAME, PASSED_NAME
from engine.energy.sources.permissions import PERMISSIONS, Permission
from engine_ctl.main import main
from protocol.address import HTTP_SOCKET_NAME, default_socket_path
from tests.test_layers import imports

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"


def unit(name: str) -> ConfigParser:
    # Not strict: lists, as that of system calls, are given line by line.
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((PACKAGING / "systemd" / name).read_text())
    return parser


@pytest.mark.parametrize("permission", PERMISSIONS, ids=lambda permission: permission.packaged)
def test_what_is_shipped_is_what_the_engine_advises(permission: Permission) -> None:
    assert (PACKAGING / permission.packaged).read_text() == permission.content
    assert Path(permission.packaged).name == Path(permission.path).name


def test_the_service_can_be_given_the_capability_by_a_file_beside_it() -> None:
    assert unit("engine.service.d/energy.conf")["Service"]["AmbientCapabilities"] == "CAP_PERFMON"
    assert unit("engine.service.d/energy.conf")["Service"]["CapabilityBoundingSet"] == "CAP_PERFMON"


def test_the_service_runs_a_command_that_there_is() -> None:
    program, command, *flags = unit("engine.service")["Service"]["ExecStart"].split()
    assert program.endswith("/engine-ctl")
    assert isinstance(main, click.Group)
    serve = main.get_command(click.Context(main), command)
    assert serve is not None
    serve.make_context(command, flags)


def test_the_manager_waits_for_longer_than_the_engine_drains() -> None:
    service = unit("engine.service")["Service"]
    flags = service["ExecStart"].split()
    assert float(service["TimeoutStopSec"]) > float(flags[flags.index("--drain-s") + 1]) + 10
    assert service["Type"] == "notify"
    assert "WatchdogSec" not in service


@pytest.mark.parametrize("dropped_in", ["", "engine.service.d/energy.conf"], ids=["alone", "with the energy of CPUs"])
def test_the_service_leaves_little_open(tmp_path: Path, dropped_in: str) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here")
    units = PACKAGING / "systemd"
    service = (units / "engine.service").read_text()
    if dropped_in:  # it is for a service of the system that runs as a user
        service += (units / dropped_in).read_text() + "User=1000\n"
    (tmp_path / "engine.service").write_text(service)
    rating = (program, "security", "--offline=true", "--threshold=20", "--no-pager", tmp_path / "engine.service")
    told = subprocess.run(rating, capture_output=True, text=True, check=False)  # noqa: S603  the system's own
    if "unrecognized option" in told.stderr:
        pytest.skip("this systemd-analyze reads no files")
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_socket_is_where_clients_look_and_has_the_name_the_engine_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    socket = unit("engine.socket")["Socket"]
    monkeypatch.delenv("ENGINE_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert socket["ListenStream"].replace("%t", "/run/user/1000") == str(default_socket_path())
    assert socket["FileDescriptorName"] == PASSED_NAME
    assert (socket["SocketMode"], socket["DirectoryMode"]) == ("0600", "0700")


def test_the_socket_of_http_is_beside_it_and_belongs_to_the_same_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENGINE_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    http = unit("engine-http.socket")["Socket"]
    path = default_socket_path().with_name(HTTP_SOCKET_NAME)
    assert http["ListenStream"].replace("%t", "/run/user/1000") == str(path)
    assert (http["FileDescriptorName"], http["Service"]) == (PASSED_HTTP_NAME, "engine.service")
    assert (http["SocketMode"], http["DirectoryMode"]) == ("0600", "0700")


def test_a_wheel_holds_what_is_beside_the_modules(tmp_path: Path) -> None:
    # All but the extension, whose building takes minutes.
    build = "import sys; from scikit_build_core.build import *; build_wheel(sys.argv[1], {'wheel.cmake': 'false'})"
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, check=True, capture_output=True)  # noqa: S603  our own
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if not name.endswith(".py") and ".dist-info/" not in name}
    schemas = {f"protocol/schemas/{path.name}" for path in (ROOT / "protocol" / "schemas").iterdir()}
    typed = {
        f"{package}/py.typed"
        for package in ("actors", "auton", "engine", "engine_ctl", "protocol", "slm", "weos_agents")
    }
    models = {f"slm/configurations/{path.name}" for path in (ROOT / "tools" / "slm" / "configurations").iterdir()}
    assert held == {"actors/http/page.html", "engine/_core.pyi"} | schemas | typed | models


def test_another_programs_package_under_the_engines_name_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "actors").mkdir()
    (tmp_path / "actors" / "__init__.py").write_text("import nothing_of_ours\n")
    # Without `site`, which would find an editable install before it looks at any folder.
    path = (tmp_path, ROOT / "tools", ROOT, sysconfig.get_path("purelib"))
    told = subprocess.run(
        [sys.executable, "-S", "-c", "from engine_ctl.program import main; main()", "--version"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    assert f"the package 'actors' at {tmp_path / 'actors'} is another program's" in told.stderr
    assert "pipx install weos-engine" in told.stderr


def test_the_package_of_clients_is_the_protocol_under_another_name(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "packaging" / "client" / "make_tree.py", tmp_path / "tree"], check=True)  # noqa: S603  our own
    modules = {path.name for path in (ROOT / "protocol").glob("*.py")}
    assert {path.name for path in (tmp_path / "tree" / "weos_client").glob("*.py")} == modules
    program = """
import sys
sys.modules["protocol"] = None  # what imports it fails
from importlib import import_module
from pathlib import Path
from weos_client.plan import RunRequest
from weos_client.schema import published_schema
import weos_client
for path in Path(weos_client.__file__).parent.glob("[a-z]*.py"):
    import_module(f"weos_client.{path.stem}")
print(RunRequest.__module__, published_schema("plan")["title"])
"""
    told = subprocess.run(  # noqa: S603  our own
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "tree")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "weos_client.plan ExecutionPlan\n"


def test_the_package_of_clients_has_the_engines_version_and_needs_what_the_protocol_imports(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "packaging" / "client" / "make_tree.py", tmp_path], check=True)  # noqa: S603  our own
    client = tomli.loads((tmp_path / "pyproject.toml").read_text())["project"]
    engine = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert client["version"] == engine["version"]
    assert set(client["dependencies"]) < set(engine["dependencies"])
    needed = {re.split("[<>=]", line)[0] for line in client["dependencies"]}
    used = {module.partition(".")[0] for path in (ROOT / "protocol").glob("*.py") for module in imports(path)}
    assert needed == used - sys.stdlib_module_names - {"protocol", "pydantic_core"}
