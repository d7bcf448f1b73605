"""The page in a browser: what a person does with it, and what a model's text cannot do to it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.http.options import HttpRules
from tests.actors.fake_backend import FakeBackend
from tests.actors.http.browser import StageThread, chromium, stage_thread
from tests.actors.http.http_stage import SECRET
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import serving

pytestmark = pytest.mark.slow
UNKNOWN = "\N{EN DASH}"
TABS = ("Chat", "Compare", "Executions", "Models")
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens the page in a profile of its own. What it complains of fails the test, but for requests that failed."""
    contexts, complaints = [], []

    def open_at(url: str, **options: Any) -> Any:
        context = browser.new_context(**options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(url)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert [one for one in complaints if "Failed to load resource" not in one] == []


@pytest.fixture
def engine() -> Iterator[StageThread]:
    with stage_thread() as running:
        yield running


@pytest.fixture(scope="module")
def real_engine() -> Iterator[str]:
    """The address of an engine that computes, with one model."""
    # A socket's path must be short; folders of pytest's own are not.
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        (folder / "models").mkdir()
        write_tiny_model(folder / "models" / "tiny.gguf", n_embd=256, n_ff=512, tensor_type="F16")
        places = {f"ENGINE_{name}_DIR": str(folder / name.lower()) for name in ("MODELS", "CACHE", "DATA")}
        flags = ("--http-socket", "off", "--http", "127.0.0.1:0")
        with serving(folder / "engine.sock", *flags, env={**os.environ, **places}) as process:
            assert process.stderr is not None
            yield process.stderr.readline().split()[-1] + "/"


def send(page: Any, text: str) -> None:
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answer_of(page: Any) -> Any:
    return page.locator(".message.engine .text").last


def wait_for_text(place: Any, text: str) -> None:
    place.filter(has_text=text).wait_for()


def test_an_answer_is_shown_as_it_comes_and_ends_with_its_figures(engine: StageThread, open_page: Open) -> None:
    page = open_page(engine.url)
    send(page, "Hello")
    engine.emit("Good ")
    wait_for_text(answer_of(page), "Good")
    assert page.get_by_role("button", name="Stop").is_visible()
    engine.emit("morning", stop="eos")
    figures = page.locator(".message.engine .figures")
    wait_for_text(figures, "2 tokens")
    assert answer_of(page).text_content() == "Good morning"
    assert "ended: eos" in figures.text_content()
    assert "energy not known" in figures.text_content()
    wait_for_text(page.locator(".message.engine .why"), "no meter")
    assert page.get_by_role("button", name="Send").is_visible()


def test_the_next_message_brings_the_conversation_along(engine: StageThread, open_page: Open) -> None:
    page = open_page(engine.url)
    send(page, "One")
    engine.emit("Two", stop="eos")
    wait_for_text(page.locator(".message.engine .figures"), "1 tokens")
    with page.expect_request("**/v1/weos/run") as sent:
        send(page, "Three")
    engine.emit("Four", stop="eos")
    told = [(one["role"], one["content"]) for one in json.loads(sent.value.post_data)["messages"]]
    assert told == [("user", "One"), ("assistant", "Two"), ("user", "Three")]
    wait_for_text(answer_of(page), "Four")


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_an_answer_is_stopped_and_what_came_of_it_stays(how: str, engine: StageThread, open_page: Open) -> None:
    page = open_page(engine.url)
    send(page, "Hello")
    engine.emit("Good ")
    wait_for_text(answer_of(page), "Good")
    if how == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press(how)
    engine.until(lambda: bool(engine.backend.cancelled))
    wait_for_text(page.locator(".message.engine .figures"), "ended: cancelled")
    assert answer_of(page).text_content() == "Good "


def test_who_closes_the_page_cancels_the_answer(engine: StageThread, open_page: Open) -> None:
    page = open_page(engine.url)
    send(page, "Hello")
    engine.emit("Good ")
    wait_for_text(answer_of(page), "Good")
    page.close()
    engine.until(lambda: bool(engine.backend.cancelled))


def test_markup_of_a_models_stays_text(engine: StageThread, open_page: Open) -> None:
    page = open_page(engine.url)
    markup = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    send(page, markup)
    engine.emit(markup[:20])
    engine.emit(markup[20:], stop="eos")
    wait_for_text(page.locator(".message.engine .figures"), "tokens")
    assert answer_of(page).text_content() == markup
    assert page.locator(".message .text").first.text_content() == markup
    assert page.locator("#log img, #log script").count() == 0
    assert page.title() == "weos-engine"


def test_the_policy_lets_no_other_script_run(engine: StageThread, browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(engine.url)
    with pytest.raises(Exception, match="TrustedScript"):
        page.evaluate("() => { document.createElement('script').text = 'document.title = 1' }")
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("() => { document.body.innerHTML = '<img src=x onerror=1>' }")
    for directive, load in (
        ("connect-src", "fetch('http://127.0.0.1:9/').catch(() => 0)"),
        ("img-src", "new Image().src = '/'"),
    ):
        hear = "document.addEventListener('securitypolicyviolation', told => refused(told.effectiveDirective))"
        assert page.evaluate(f"() => new Promise(refused => {{ {hear}; {load} }})") == directive
    assert page.title() == "weos-engine"
    context.close()


def test_a_request_that_is_refused_says_why_and_gives_the_text_back(engine: StageThread, open_page: Open) -> None:
    page = open_page(engine.url)
    page.get_by_text("Settings").click()
    page.get_by_label("Most tokens").first.fill("2147483648")
    send(page, "Hello")
    wait_for_text(page.locator(".message.engine .fault"), "max_tokens")
    assert page.get_by_role("textbox", name="Message", exact=True).input_value() == "Hello"


def test_live_figures_follow_the_engines_events(engine: StageThread, open_page: Open) -> None:
    page = open_page(engine.url)
    wait_for_text(page.locator("#link"), "connected")
    send(page, "Hello")
    engine.emit("a", "b", "c")
    wait_for_text(page.locator("#running"), "3 tokens")
    wait_for_text(page.locator("#live-batch"), "1")
    wait_for_text(page.locator("#live-queue"), "0")
    wait_for_text(page.locator("#live-watts-note"), "no meter")
    assert page.locator("#live-watts").text_content() == UNKNOWN
    engine.emit(stop="eos")
    wait_for_text(page.locator("#running-none"), "nothing")
    wait_for_text(page.locator("#live-batch"), "0")


def test_the_page_asks_for_the_secret_and_keeps_it_nowhere(open_page: Open) -> None:
    with stage_thread(FakeBackend(answer=("Hel", "lo")), HttpRules(secret=SECRET)) as engine:
        page = open_page(engine.url)
        for secret, told in (("another secret of many", "refused"), (SECRET.decode(), "")):
            page.locator("#secret").fill(secret)
            page.get_by_role("button", name="Come in").click()
            if told:
                wait_for_text(page.get_by_role("alert"), told)
        wait_for_text(page.locator("#link"), "connected")
        send(page, "Hello")
        wait_for_text(answer_of(page), "Hello")
        kept = "() => [localStorage.length, sessionStorage.length, document.cookie, location.search]"
        assert page.evaluate(kept) == [0, 0, "", ""]
        page.reload()
        page.locator("#secret").wait_for()


def test_everything_comes_from_the_engine(real_engine: str, browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(real_engine)
    wait_for_text(page.locator("#link"), "connected")
    assert [url for url in asked if not url.startswith((real_engine, "data:"))] == []
    context.close()


def test_two_plans_are_compared_on_one_prompt(real_engine: str, open_page: Open) -> None:
    page = open_page(real_engine)
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("By the chat template").uncheck()
    page.get_by_label("Most tokens").last.fill("8")
    side = page.get_by_role("group", name="B")
    side.get_by_label("Weights").select_option("q8_0")
    page.get_by_role("button", name="Run both").click()
    verdict = page.locator("#verdict")
    verdict.get_by_role("table").wait_for()
    wait_for_text(verdict, "quantization")
    for box in page.locator("#outcomes article").all():
        assert "8 tokens" in box.locator(".figures").text_content()
        assert "energy not known" in box.locator(".figures").text_content()
        assert box.locator(".why").count() == 1
    speed = verdict.get_by_role("row").filter(has=page.get_by_role("rowheader", name="decode tokens/s"))
    assert all(cell[0].isdigit() for cell in speed.get_by_role("cell").all_text_contents()[:2])


def test_the_same_plan_twice_gives_the_same_answer(real_engine: str, open_page: Open) -> None:
    page = open_page(real_engine)
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("By the chat template").uncheck()
    page.get_by_label("Most tokens").last.fill("8")
    page.get_by_role("group", name="B").get_by_label("Weights").select_option("native")
    page.get_by_role("button", name="Run both").click()
    wait_for_text(page.locator("#verdict"), "the same bits in every logit")


def test_an_execution_is_shown_with_its_plan_and_its_record(real_engine: str, open_page: Open) -> None:
    page = open_page(real_engine)
    page.get_by_text("Settings").click()
    page.get_by_label("A conversation").uncheck()
    page.get_by_label("Most tokens").first.fill("4")
    send(page, "Hello")
    page.get_by_role("button", name="plan and record").click()
    row = page.locator("details.execution").first
    row.get_by_text("Plan", exact=True).click()
    plan = json.loads(row.locator("pre").first.text_content())
    assert (plan["model_ref"]["name"], plan["limits"]["max_tokens"]) == ("tiny", 4)
    row.get_by_text("Record", exact=True).click()
    entry = json.loads(row.locator("pre").last.text_content())
    assert len(entry["record"]["token_ids"]) == 4


def test_the_tabs_are_walked_with_the_keyboard(real_engine: str, open_page: Open) -> None:
    page = open_page(real_engine)
    page.get_by_role("tab", name="Chat").focus()
    for name in (*TABS[1:], TABS[0]):
        page.keyboard.press("ArrowRight")
        chosen = page.locator("[role=tab][aria-selected=true]")
        assert chosen.text_content() == name
        assert page.evaluate("() => document.activeElement.textContent") == name
        assert page.get_by_role("tabpanel").count() == 1
    page.get_by_role("tab", name="Chat").press("End")
    page.get_by_role("button", name="Chosen").wait_for()
    assert page.locator("#model").input_value() == "tiny"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_the_window_in_light_and_dark(width: int, scheme: str, real_engine: str, open_page: Open) -> None:
    page = open_page(real_engine, viewport={"width": width, "height": 800}, color_scheme=scheme)
    for name in TABS:
        page.get_by_role("tab", name=name).click()
        panel = page.get_by_role("tabpanel")
        assert page.evaluate("() => document.documentElement.scrollWidth") == width
        assert panel.evaluate("panel => panel.scrollWidth - panel.clientWidth") == 0
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(","))
    assert (lightness > 600) is (scheme == "light")
