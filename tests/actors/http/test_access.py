"""Access rules and the kernel's table of sockets, without a socket."""

from __future__ import annotations

import ipaddress
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.http.access import HttpPeer, may_manage, may_name_paths, refusal
from actors.http.options import HttpRules, TcpAddress, read_secret
from actors.http.peer import peer_uid, uid_in
from protocol.errors import InvalidRequest

OWNER = HttpPeer("tcp", is_owner=True)
STRANGER = HttpPeer("tcp", is_owner=False)
UNIX = HttpPeer("unix", is_owner=True)
SECRET = b"a secret of many bytes"
ROW = "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid:5}        0 4711 1 0000 20 4 30 10 -1"
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def code(
    peer: HttpPeer,
    headers: dict[str, str],
    rules: HttpRules | None = None,
    path: str = "/v1/models/x",
    method: str = "GET",
) -> str | None:
    fault = refusal(peer, method, path, headers, rules or HttpRules())
    return None if fault is None else fault.code


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:1", "127.8.9.1", "[::1]:80"])
def test_loopback_names_are_welcome(host: str) -> None:
    assert code(OWNER, {"host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        *("", "example.org", "localhost.example.org", "10.0.0.1", "[fe80::1]", "127.0.0.1.org"),
        *("localhost:1@evil", "localhost@evil", "localhost:evil", "localhost:1:2", "[::1]evil", "[::1]:1@evil"),
        *("127.0.0.1:\uff18\uff10", "localhost:1 @evil"),
    ],
)
def test_other_names_are_a_page_that_pretends(host: str) -> None:
    assert code(OWNER, {"host": host}) == "foreign_host"


def test_other_users_stay_outside_and_the_unix_socket_has_its_own_guard() -> None:
    assert code(STRANGER, {"host": "localhost"}) == "foreign_user"
    assert code(UNIX, {"host": "whatever"}, HttpRules(secret=SECRET)) is None


@pytest.mark.parametrize(
    ("origin", "refused"),
    [("http://localhost:80", False), ("http://localhost:81", True), ("null", True), ("http://named.org", False)],
)
def test_origins_are_the_engines_own_and_those_that_are_named(origin: str, refused: bool) -> None:
    rules = HttpRules(origins=frozenset({"http://named.org"}))
    headers = {"host": "localhost:80", "origin": origin}
    assert (code(OWNER, headers, rules) == "foreign_origin") is refused
    assert (code(UNIX, headers, rules) == "foreign_origin") is refused


@pytest.mark.parametrize("headers", [{"authorization": "Bearer é"}, {"x-api-key": ""}, {"authorization": "Basic abc"}])
def test_a_wrong_secret_is_refused_whatever_it_is_made_of(headers: dict[str, str]) -> None:
    assert code(STRANGER, headers, HttpRules(secret=SECRET)) == "unauthorized"
    assert code(STRANGER, headers, HttpRules(secret=SECRET), path="/health") is None


@pytest.mark.parametrize(
    ("method", "refused"), [("OPTIONS", False), ("GET", True), ("POST", True), ("DELETE", True), ("HEAD", True)]
)
def test_a_browser_alone_asks_before_it_shows_the_secret(method: str, refused: bool) -> None:
    asking = {"host": "a.b", "origin": "http://a.b", "access-control-request-method": "POST"}
    assert (code(STRANGER, asking, HttpRules(secret=SECRET), method=method) == "unauthorized") is refused


@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
def test_a_secret_may_be_of_any_bytes(name: str) -> None:
    secret = "pässwörter aller Art".encode()
    shown = secret.decode("latin-1")  # as headers are read
    headers = {name: f"Bearer {shown}" if name == "authorization" else shown}
    assert code(STRANGER, headers, HttpRules(secret=secret)) is None


def test_what_clients_may_do_depends_on_their_door() -> None:
    secret = HttpRules(secret=SECRET)
    assert may_name_paths(UNIX, secret)
    assert may_name_paths(OWNER, HttpRules())
    assert not may_name_paths(STRANGER, secret)
    assert may_name_paths(STRANGER, HttpRules(secret=SECRET, allow_paths=True))
    assert may_manage(UNIX, secret)
    assert not may_manage(OWNER, HttpRules())
    assert may_manage(OWNER, HttpRules(allow_manage=True))


def words(address: str) -> str:
    packed = ipaddress.ip_address(address).packed
    return "".join(packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4))


def row(local: str, local_port: int, remote: str, remote_port: int, uid: int = 1000, state: str = "01") -> str:
    return ROW.format(
        local=f"{words(local)}:{local_port:04X}", remote=f"{words(remote)}:{remote_port:04X}", state=state, uid=uid
    )


@given(st.ip_addresses(), st.integers(1, 65_535), st.integers(1, 65_535), st.integers(0, 2**31))
def test_the_row_of_the_clients_end_says_whose_it_is(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, own: int, uid: int
) -> None:
    host = str(address)
    table = HEADER + row("127.0.0.1", port, "127.0.0.2", 1, uid=7) + "\n" + row(host, port, host, own, uid=uid)
    assert uid_in(table, (host, port), (host, own)) == uid


def test_an_old_address_in_the_table_of_the_new_is_the_same() -> None:
    table = HEADER + row("::ffff:127.0.0.1", 5, "::ffff:127.0.0.1", 6)
    assert uid_in(table, ("127.0.0.1", 5), ("127.0.0.1", 6)) == 1000


@pytest.mark.parametrize(
    "table",
    ["", HEADER, HEADER + "nonsense", HEADER + row("127.0.0.1", 5, "127.0.0.1", 6, state="06")],
    ids=["nothing", "no row", "no columns", "ended"],
)
def test_a_connection_that_is_not_listed_is_nobodys(table: str) -> None:
    assert uid_in(table, ("127.0.0.1", 5), ("127.0.0.1", 6)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's table is Linux's")
def test_the_kernel_says_that_this_process_is_its_own_peer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            assert peer_uid(accepted.getpeername(), accepted.getsockname()) == Path("/proc/self").stat().st_uid
            assert peer_uid(("127.0.0.1", 1), client.getsockname()) is None


@pytest.mark.parametrize("text", ["", "80", "localhost", ":80", "localhost:", "localhost:65536", "host.example:80"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        TcpAddress.parse(text)


def test_addresses_know_whether_others_reach_them() -> None:
    assert TcpAddress.parse("[::1]:80").is_loopback
    assert str(TcpAddress.parse("[::1]:80")) == "[::1]:80"
    assert TcpAddress.parse("localhost:0").is_loopback
    assert not TcpAddress.parse("0.0.0.0:80").is_loopback


def test_a_secret_is_its_owners_alone_and_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\nnotes\n")
    path.chmod(0o600)
    assert read_secret(path) == SECRET
    path.chmod(0o644)
    with pytest.raises(InvalidRequest, match="chmod 600"):
        read_secret(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(InvalidRequest, match="16"):
        read_secret(path)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_secret(tmp_path / "nothing")
