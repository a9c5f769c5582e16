"""Every page fits a phone, keeps its content security policy, and offers a next step when it is empty."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.api import Api

pytestmark = pytest.mark.browser

_LONG = "Unbreakable" * 15


def _populate(api: Api) -> list[str]:
    """Fill the ledger with one of everything, in long words; returns the path of every page."""
    site = api.add_site(name=_LONG, domain="a.example", url=f"https://a.example/{_LONG}", description=_LONG)
    user = api.add_user(site=site, name=_LONG, email=f"{_LONG[:50]}@a.example", address=_LONG)
    jobs = [api.add_job(user=user, site=site, payload={"key": _LONG * number}) for number in range(3)]
    api.post(f"/jobs/{jobs[0]}/cancel")
    return ["/", "/sites", f"/sites/{site}", "/user-records", f"/user-records/{user}", "/jobs", "/jobs?status=failed",
            *(f"/jobs/{job}" for job in jobs), "/website/", f"/website/jobs/{jobs[0]}"]


def test_no_page_is_wider_than_a_phone(page: Page, still: str, api: Api) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for path in [*_populate(api), "/nowhere"]:
        page.goto(still + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_no_table_of_the_dashboard_is_cut_on_a_phone(page: Page, still: str, api: Api) -> None:
    _populate(api)
    api.post("/lanes/10s/pause")
    page.set_viewport_size({"width": 375, "height": 667})
    page.goto(still)

    expect(page.get_by_role("button", name="Resume lane 10s")).to_be_visible()
    cut = page.evaluate("""[...document.querySelectorAll(".scroll")].filter(box => box.scrollWidth > box.clientWidth)
        .map(box => box.getAttribute("aria-labelledby"))""")
    assert cut == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_anything_to_complain_of(page: Page, still: str, api: Api, said: list[str], scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for path in _populate(api):
        page.goto(still + path)
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(244, 246, 248)" if scheme == "light" else "rgb(14, 18, 23)"), "no stylesheet"
    assert said == []


def test_every_field_has_a_label_and_every_page_a_way_past_its_header(page: Page, still: str, api: Api) -> None:
    for path in _populate(api):
        page.goto(still + path)
        unlabelled = page.evaluate("""[...document.querySelectorAll("input:not([type=hidden]), select, textarea")]
            .filter(field => !field.labels.length).map(field => field.outerHTML)""")
        assert unlabelled == [], path
        doubled = page.evaluate("""[...document.querySelectorAll("[id]")].map(node => node.id)
            .filter((id, place, all) => all.indexOf(id) !== place)""")
        assert doubled == [], path
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


def test_a_fresh_install_leads_from_a_site_to_a_user_to_a_job(page: Page, still: str, said: list[str]) -> None:
    page.goto(still)
    expect(page.locator(".steps .now")).to_contain_text("Add a site.")
    page.locator("#new-site").get_by_label("Name").fill("Northwind")
    page.get_by_role("button", name="Add site").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Northwind")

    page.get_by_role("link", name="Dashboard").click()
    expect(page.locator(".steps .now")).to_contain_text("Add a user of the site.")
    page.locator("#new-user").get_by_label("Name").fill("Ada")
    page.locator("#new-user").get_by_label("Home site").select_option("1")
    page.get_by_role("button", name="Add user").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Ada")

    page.get_by_role("link", name="Dashboard").click()
    expect(page.locator(".steps .now")).to_contain_text("Submit a job.")
    page.locator("#new-job").get_by_label("User").select_option("1")
    page.locator("#new-job").get_by_label("Site").select_option("1")
    page.locator("#new-job").get_by_label("Execution time").fill("2.5")
    page.get_by_role("button", name="Submit job").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("pending")
    assert said == []


def test_a_faulty_form_comes_back_with_what_was_typed_and_what_is_wrong(page: Page, still: str, api: Api) -> None:
    api.add_user()
    page.goto(f"{still}/jobs")
    page.get_by_label("User", exact=False).last.select_option("1")
    page.locator("#job-site").select_option("1")
    page.get_by_label("Execution time").fill("2")
    page.get_by_label("Not before").fill("tomorrow")
    page.get_by_role("button", name="Submit job").click()

    expect(page.get_by_role("alert")).to_contain_text("Nothing was saved")
    field = page.get_by_label("Not before")
    expect(field).to_have_value("tomorrow")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#job-run_at-error")).to_contain_text("must be a time with its zone")
    expect(page.get_by_label("Execution time")).to_have_value("2")
    assert api.get("/jobs") == []


def test_a_waiting_job_can_be_edited_cancelled_and_retried(page: Page, still: str, api: Api) -> None:
    api.add_user()
    job = api.add_job(payload={"a": 1})
    page.goto(f"{still}/jobs/{job}")
    page.get_by_label("Execution time").fill("0.5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("500 ms estimated")).to_be_visible()
    assert api.get(f"/jobs/{job}")["band"] == "1s"
    assert api.get(f"/jobs/{job}")["payload"] == {"a": 1}

    page.get_by_role("button", name="Cancel job").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Cancel job")).to_have_count(0)
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    page.get_by_role("button", name="Retry job").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("pending")


def test_sites_and_users_can_be_edited_and_deleted(page: Page, still: str, api: Api) -> None:
    site = api.add_site(name="Old")
    user = api.add_user(site=site, name="Ann", dob="1990-01-31")
    page.goto(f"{still}/user-records/{user}")
    page.get_by_label("Active").select_option("false")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("inactive")
    found = api.get(f"/user-records/{user}")
    assert (found["is_active"], found["dob"], found["name"]) == (False, "1990-01-31", "Ann")

    page.goto(f"{still}/sites/{site}")
    page.get_by_label("Name").fill("New")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("New")
    page.get_by_text("Delete this site").first.click()
    page.get_by_role("button", name="Delete this site").click()
    expect(page.get_by_text("No sites yet")).to_be_visible()
    assert api.get("/user-records") == []


def test_lists_are_filtered_and_paged_by_links(page: Page, still: str, api: Api) -> None:
    api.add_user()
    api.post("/jobs", [{"user": 1, "site": 1, "execution_time": 0.5 if i % 2 else 5} for i in range(6)])
    page.goto(f"{still}/jobs?limit=2")
    page.get_by_label("Lane").select_option("task_04")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.get_by_label("Lane")).to_have_value("task_04")

    page.goto(f"{still}/jobs?band=task_04&limit=2")
    page.get_by_role("link", name="Older jobs").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_role("link", name="Older jobs")).to_have_count(0)
    page.get_by_role("link", name="Show all").click()
    expect(page.locator("tbody tr")).to_have_count(6)


def test_links_stay_under_the_website_prefix(page: Page, still: str, api: Api) -> None:
    api.add_user()
    job = api.add_job()
    page.goto(f"{still}/website/")
    page.get_by_role("link", name=f"#{job}", exact=True).click()
    expect(page).to_have_url(f"{still}/website/jobs/{job}")
    page.get_by_role("button", name="Cancel job").click()
    expect(page).to_have_url(f"{still}/website/jobs/{job}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")
