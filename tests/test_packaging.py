"""The files for the service manager and the device manager say what the engine says; a wheel holds what it needs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import click
import pytest

from actors.unix_socket import PASSED_HTTP_NAME, PASSED_NAME
from engine.energy.sources.permissions import PERMISSIONS, Permission
from engine_ctl.main import main
from protocol.address import HTTP_SOCKET_NAME, default_socket_path

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
    assert held == {"actors/http/page.html", "engine/_core.pyi"} | schemas
