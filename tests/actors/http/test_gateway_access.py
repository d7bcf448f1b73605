"""Who may come in to the gateway over real sockets, and for what."""

from __future__ import annotations

import httpx
import pytest

from actors.http.options import HttpOptions, HttpRules, TcpAddress
from protocol.errors import InvalidRequest
from tests.actors.http.http_stage import HELLO, SECRET, stage


async def test_every_address_is_listened_to() -> None:
    async with stage(tcp=True) as served, httpx.AsyncClient(trust_env=False) as client:
        answers = [await client.get(f"{place}/health") for place in served.system.http_places[1:]]
    assert [answer.status_code for answer in answers] == [200, 200]


async def test_programs_of_the_engines_user_come_in_over_tcp_whatever_they_show() -> None:
    async with stage(tcp=True) as served, served.tcp_client() as client:
        answer = await client.get("/health", headers={"Authorization": "Bearer anything"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "engine.example.org"}, "foreign_host"),
        ({"Origin": "http://example.org"}, "foreign_origin"),
        ({"Origin": "null"}, "foreign_origin"),
    ],
)
async def test_pages_of_elsewhere_are_turned_away(headers: dict[str, str], code: str) -> None:
    async with stage(tcp=True) as served, served.tcp_client() as client:
        answer = await client.get("/health", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)


async def test_a_page_of_a_named_origin_may_ask_and_read() -> None:
    origin = "http://localhost:3000"
    async with stage(tcp=True, rules=HttpRules(origins=frozenset({origin}))) as served, served.tcp_client() as client:
        asking = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a"}
        allowed = await client.options("/v1/chat/completions", headers=asking)
        answer = await client.post("/v1/chat/completions", json=HELLO, headers={"Origin": origin})
    assert allowed.status_code == 204
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert allowed.headers["access-control-allow-headers"] == "x-a"
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"x-api-key": "wrong"}, 401),
        ({"Authorization": f"Bearer {SECRET.decode()}"}, 200),
        ({"x-api-key": SECRET.decode()}, 200),
        ({"Authorization": f"Bearer {SECRET.decode()}", "Host": "engine.example.org"}, 200),
    ],
)
async def test_with_a_secret_only_who_knows_it_comes_in_over_tcp(headers: dict[str, str], status: int) -> None:
    async with stage(tcp=True, rules=HttpRules(secret=SECRET)) as served:
        async with served.tcp_client() as client:
            answer = await client.post("/v1/chat/completions", json=HELLO, headers=headers)
            assert answer.status_code == status
            assert (await client.get("/health")).status_code == 200
        async with served.client() as client:
            assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("GET", "/version"),
        ("GET", "/openapi.json"),
        ("GET", "/v1/weos/status"),
        ("GET", "/v1/weos/executions"),
        ("GET", "/api/tags"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/weos/run"),
        ("POST", "/v1/weos/shutdown"),
        ("DELETE", "/api/delete"),
    ],
)
async def test_no_request_gets_in_by_looking_like_a_browsers_question(method: str, path: str) -> None:
    asking = {"Host": "a.b", "Origin": "http://a.b", "Access-Control-Request-Method": "x"}
    async with stage(tcp=True, rules=HttpRules(secret=SECRET)) as served, served.tcp_client() as client:
        answer = await client.request(method, path, headers=asking, content=b"{}")
        question = await client.options(path, headers=asking)
    assert answer.status_code == 401
    assert (question.status_code, question.content) == (204, b"")


async def test_paths_and_management_over_tcp_need_to_be_allowed() -> None:
    secret = {"x-api-key": SECRET.decode()}
    path = {**HELLO, "model": "/models/tiny.gguf"}
    async with stage(tcp=True, rules=HttpRules(secret=SECRET)) as served:
        async with served.tcp_client() as client:
            refused = await client.post("/v1/chat/completions", json=path, headers=secret)
            unmanaged = await client.post("/v1/weos/models/remove", json={"model": "tiny"}, headers=secret)
        async with served.client() as client:
            managed = await client.post("/v1/weos/models/remove", json={"model": "tiny"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "path_refused")
    assert (unmanaged.status_code, unmanaged.json()["error"]["code"]) == (403, "not_a_manager")
    assert managed.json()["name"] == "tiny"


async def test_management_over_tcp_can_be_allowed() -> None:
    async with stage(tcp=True, rules=HttpRules(allow_manage=True)) as served, served.tcp_client() as client:
        answer = await client.post("/v1/weos/models/remove", json={"model": "tiny"})
    assert answer.status_code == 200


def test_an_address_that_others_reach_needs_a_secret() -> None:
    with pytest.raises(InvalidRequest, match="http-token-file"):
        HttpOptions(None, (TcpAddress.parse("127.0.0.1:80"), TcpAddress.parse("0.0.0.0:80")))
    assert HttpOptions(
        None, (TcpAddress.parse("127.0.0.1:80"), TcpAddress.parse("0.0.0.0:80")), HttpRules(secret=SECRET)
    )
