"""The dashboard shows what happens, refreshes itself, and does not disturb a user who types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.api import Api

pytestmark = pytest.mark.browser

_BATCH = [{"user": 1, "site": 1, "execution_time": 0.2}, {"user": 1, "site": 1, "execution_time": 3}]


@pytest.mark.slow
def test_a_job_submitted_by_the_form_is_seen_to_complete(
    page: Page, stack: str, make_api: Callable[[str], Api], said: list[str]
) -> None:
    api = make_api(stack)
    site = api.add_site(name="Northwind")
    user = api.add_user(site=site, name="Ada")
    page.goto(stack)
    form = page.locator("#new-job")
    form.get_by_label("User").select_option(str(user))
    form.get_by_label("Site").select_option(str(site))
    form.get_by_label("Execution time").fill("0.05")
    form.get_by_role("button", name="Submit job").click()

    expect(page).to_have_url(re.compile(r"/jobs/\d+$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("completed", timeout=30_000)
    expect(page.locator("ol.way")).to_contain_text("Completed")
    expect(page.locator(".legend")).to_contain_text("ran")
    # It has ended, so the page has nothing more to ask for.
    expect(page.locator("#live[data-hx-get]")).to_have_count(0)
    job = int(page.url.rsplit("/", 1)[1])
    page.goto(stack)
    expect(page.get_by_role("row", name=f"#{job} completed Northwind Ada")).to_be_visible()
    expect(page.get_by_role("region", name="Workers").get_by_role("row")).to_have_count(3)
    assert said == []


def test_what_is_typed_stays_where_it_is_while_the_page_refreshes(page: Page, still: str, api: Api) -> None:
    api.add_user()
    page.set_viewport_size({"width": 390, "height": 600})
    page.goto(still)
    field = page.locator("#new-job").get_by_label("Payload")
    field.press_sequentially('{"half')
    scrolled = page.evaluate("scrollY")
    job = api.add_job()

    expect(page.get_by_role("link", name=f"#{job}", exact=True)).to_be_attached()
    expect(field).to_have_value('{"half')
    expect(field).to_be_focused()
    assert scrolled > 0
    field.press_sequentially(" done")
    expect(field).to_have_value('{"half done')


def test_focus_in_the_live_part_survives_a_refresh(page: Page, still: str, api: Api) -> None:
    api.add_user()
    page.goto(still)
    link = page.get_by_role("link", name="Lane 10s")
    link.focus()
    api.add_job()

    expect(page.get_by_role("region", name="Lanes").get_by_role("row", name="10s").get_by_role("cell").first
           ).to_have_text("1")
    expect(link).to_be_focused()


def test_a_hidden_tab_asks_for_nothing_and_catches_up_when_it_is_seen_again(page: Page, still: str, api: Api) -> None:
    api.add_user()
    page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => window.isHidden ?? false})")
    page.goto(still)
    page.evaluate("isHidden = true")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("document.getElementById('live').dispatchEvent(new Event('refresh'))")
    job = api.add_job()
    assert asked == []

    page.evaluate("isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("link", name=f"#{job}", exact=True)).to_be_visible()


def test_the_page_can_be_paused(page: Page, still: str, api: Api) -> None:
    api.add_user()
    page.goto(still)
    page.get_by_role("button", name="Pause updates").click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("document.getElementById('live').dispatchEvent(new Event('refresh'))")
    job = api.add_job()
    assert asked == []

    page.get_by_role("button", name="Resume updates").click()
    expect(page.get_by_role("link", name=f"#{job}", exact=True)).to_be_visible()


def test_what_was_seen_last_stays_when_the_server_does_not_answer(page: Page, still: str, api: Api) -> None:
    api.add_user()
    job = api.add_job()
    page.goto(still)
    live = re.compile("part=live")
    page.route(live, lambda route: route.fulfill(status=503, body="away"))

    expect(page.get_by_text("No answer, trying again")).to_be_visible()
    expect(page.get_by_role("link", name=f"#{job}", exact=True)).to_be_visible()
    page.unroute(live)
    expect(page.get_by_text("No answer, trying again")).to_be_hidden()


def test_a_pasted_batch_is_submitted(page: Page, still: str, api: Api, said: list[str]) -> None:
    api.add_user()
    page.goto(still)
    page.get_by_text("Paste a batch of jobs").click()
    page.get_by_label("A JSON list of jobs").fill(json.dumps(_BATCH))
    page.get_by_role("button", name="Submit batch").click()

    expect(page.locator("#batch-answer")).to_contain_text("2 jobs submitted: #1 to #2")
    expect(page.get_by_label("A JSON list of jobs")).to_have_value("")
    expect(page.get_by_role("region", name="Latest jobs").get_by_role("link", name="#2")).to_be_visible()
    assert [job["execution_time"] for job in api.get("/jobs")] == [3, 0.2]
    assert said == []


@pytest.mark.parametrize(("batch", "faults"), [
    (json.dumps([*_BATCH, {"user": 7, "site": 1, "execution_time": 99}]),
     ["Nothing was submitted: 2 faults", "Job 3, user no user record 7", "Job 3, execution_time must be at most 10 s"]),
    ('[{"user": 1,', ["Nothing was submitted: 1 fault", "line 1"]),
])
def test_a_faulty_batch_shows_its_faults_and_submits_nothing(
    page: Page, still: str, api: Api, batch: str, faults: list[str]
) -> None:
    api.add_user()
    page.goto(still)
    page.get_by_text("Paste a batch of jobs").click()
    page.get_by_label("A JSON list of jobs").fill(batch)
    page.get_by_role("button", name="Submit batch").click()

    for fault in faults:
        expect(page.locator("#batch-answer")).to_contain_text(fault)
    expect(page.get_by_label("A JSON list of jobs")).to_have_value(batch)
    assert api.get("/jobs") == []


def test_a_batch_sent_again_after_a_lost_answer_is_taken_once(page: Page, still: str, api: Api) -> None:
    api.add_user()
    page.goto(still)
    page.get_by_text("Paste a batch of jobs").click()
    page.get_by_label("A JSON list of jobs").fill(json.dumps(_BATCH))
    page.route("**/jobs", lambda route: (route.fetch(), route.abort()))
    page.get_by_role("button", name="Submit batch").click()
    expect(page.locator("#batch-answer")).to_contain_text("No answer came")
    page.unroute("**/jobs")
    page.get_by_role("button", name="Submit batch").click()

    expect(page.locator("#batch-answer")).to_contain_text("2 jobs submitted")
    assert len(api.get("/jobs")) == 2
