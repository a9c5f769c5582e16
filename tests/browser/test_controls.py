"""Operators' controls in the browser: limits of a site, pauses, the policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.api import Api

pytestmark = pytest.mark.browser


def test_a_sites_limits_are_set_and_taken_back_by_its_form(page: Page, still: str, api: Api, said: list[str]) -> None:
    site = api.add_site()
    page.goto(f"{still}/sites/{site}")
    page.get_by_label("Weight").fill("2.5")
    page.get_by_label("In flight").fill("4")
    page.get_by_label("Rate").fill("0.5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("0 of at most 4")).to_be_visible()
    expect(page.get_by_label("Weight")).to_have_value("2.5")
    page.get_by_label("In flight").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("0 of at most 4")).to_have_count(0)
    found = api.get(f"/sites/{site}")
    assert (found["weight"], found["max_running"], found["rate_per_s"], found["paused"]) == (2.5, None, 0.5, False)
    assert said == []


def test_a_limit_out_of_bounds_comes_back_with_what_was_typed(page: Page, still: str, api: Api) -> None:
    page.goto(f"{still}/sites")
    page.get_by_label("Name").fill("Acme")
    page.get_by_text("Share and limits").click()
    page.get_by_label("Burst").fill("0")
    page.evaluate("document.querySelectorAll('form').forEach(form => { form.noValidate = true })")
    page.get_by_role("button", name="Add site").click()
    expect(page.get_by_role("alert")).to_be_visible()
    field = page.get_by_label("Burst")
    expect(field).to_be_visible()
    expect(field).to_have_attribute("aria-invalid", "true")
    assert api.get("/sites") == []


def test_a_site_is_paused_in_the_list_and_resumed_on_its_page(page: Page, still: str, api: Api) -> None:
    site = api.add_site(name="Northwind")
    page.goto(f"{still}/sites?limit=10")
    page.get_by_role("button", name="Pause Northwind").click()
    expect(page).to_have_url(f"{still}/sites?limit=10")
    row = page.get_by_role("row", name="Northwind")
    expect(row.get_by_text("paused", exact=True)).to_be_visible()
    row.get_by_role("link", name="Northwind").click()
    page.get_by_role("button", name="Resume site").click()
    expect(page.get_by_role("button", name="Pause site")).to_be_visible()
    assert not api.get(f"/sites/{site}")["paused"]


def test_a_lane_is_paused_and_resumed_on_the_dashboard(page: Page, still: str, api: Api, said: list[str]) -> None:
    api.add_user()
    page.goto(still)
    page.get_by_role("button", name="Pause lane 10s").click()
    expect(page.get_by_role("row", name="10s").get_by_text("paused", exact=True)).to_be_visible()
    assert [lane["label"] for lane in api.get("/lanes") if lane["paused"]] == ["10s"]
    page.get_by_role("button", name="Resume lane 10s").click()
    expect(page.get_by_role("button", name="Pause lane 10s")).to_be_visible()
    assert said == []


def test_the_policy_is_chosen_on_the_dashboard(page: Page, still: str, api: Api) -> None:
    api.add_user()
    page.goto(still)
    page.get_by_text("Choose the policy").click()
    page.get_by_label("Policy", exact=True).select_option("fair")
    page.get_by_role("button", name="Choose").click()
    expect(page.get_by_text("policy fair: equal worker-seconds by weight")).to_be_visible()
    assert api.get("/policy")["chosen_at_run_time"]


def test_a_job_without_an_execution_time_asks_for_one_until_there_is_history(page: Page, still: str, api: Api) -> None:
    api.add_user()
    page.goto(f"{still}/jobs")
    page.locator("#job-user").select_option("1")
    page.locator("#job-site").select_option("1")
    page.get_by_role("button", name="Submit job").click()
    expect(page.locator("#job-execution_time-error")).to_contain_text("no job of task")
    assert api.get("/jobs") == []
