"""The page at ``/``, without a browser: who gets it, and by which policy."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from actors.http.options import HttpRules
from actors.http.page import Page, accepts_page
from tests.actors.http.http_stage import SECRET, stage

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}


@pytest.mark.parametrize("accept", ["text/html", BROWSER["Accept"], "application/json, TEXT/HTML;q=0.1"])
def test_who_names_html_gets_it(accept: str) -> None:
    assert accepts_page(accept)


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/*", "text/htmlx"])
def test_who_does_not_is_a_program(accept: str) -> None:
    assert not accepts_page(accept)


async def test_browsers_get_the_page_and_programs_what_they_always_got() -> None:
    async with stage() as served, served.client() as client:
        page = await client.get("/", headers=BROWSER)
        told = await client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert told.json()["engine"] == "weos-engine"
    assert (page.headers["vary"], told.headers["vary"]) == ("accept", "accept")


async def test_the_page_that_asks_for_the_secret_is_there_without_it() -> None:
    async with stage(tcp=True, rules=HttpRules(secret=SECRET)) as served, served.tcp_client() as client:
        page = await client.get("/", headers=BROWSER)
        status = await client.get("/v1/weos/status", headers=BROWSER)
        foreign = await client.get("/", headers={**BROWSER, "Origin": "http://example.org"})
    assert (page.status_code, status.status_code, foreign.status_code) == (200, 401, 403)
    assert SECRET.decode() not in page.text


async def test_a_name_that_somebody_else_controls_shows_no_page() -> None:
    async with stage(tcp=True) as served, served.tcp_client() as client:
        answer = await client.get("/", headers={**BROWSER, "Host": "engine.example.org"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_host")


def test_the_policy_allows_its_own_script_and_style_and_nothing_else() -> None:
    page = Page.read()
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    for name, tag in (("script-src", b"script"), ("style-src", b"style")):
        start, end = page.body.index(b"<" + tag), page.body.index(b"</" + tag)
        content = page.body[page.body.index(b">", start) + 1 : end]
        assert policy[name] == f"'sha256-{b64encode(hashlib.sha256(content).digest()).decode()}'"


@pytest.mark.parametrize("loaded", [b"http://", b"https://", b"@import", b"url(", b" style=", b" onclick="])
def test_it_needs_nothing_from_elsewhere_and_no_leave_of_the_policy(loaded: bytes) -> None:
    assert loaded not in Page.read().body.replace(b"xmlns='http://www.w3.org/2000/svg'", b"")
