"""Controls that operators set over HTTP and by command: SQL stores them, and the board follows at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from redis import Redis

from jobsched.cli import main
from jobsched.config import Settings
from jobsched.dispatch import repair
from jobsched.intake import controls
from jobsched.ledger.models import db
from jobsched.policy import POLICIES
from tests.engine import environment
from tests.integration.conftest import MakeClient
from tests.integration.requests import BROWSER, ON_SQLITE, add_job, add_site, add_user, board_of, pointers, problem
from tests.support import ids, take


def _lane(client: FlaskClient, label: str) -> dict[str, Any]:
    return next(lane for lane in client.get("/lanes").json if lane["label"] == label)


# Sites

LIMITS = {"weight": 2.5, "max_running": 4, "rate_per_s": 0.5, "burst": 3, "max_pending": 100, "paused": True}
NONE = {"weight": 1.0, "max_running": None, "rate_per_s": None, "burst": 1, "max_pending": None, "paused": False}


def test_a_sites_limits_are_taken_given_and_taken_back(client: FlaskClient) -> None:
    made = client.post("/sites", json={"name": "Acme", **LIMITS}).json
    assert {name: made[name] for name in LIMITS} == LIMITS
    assert {**made, "estimates": [], "in_flight": 0} == client.get("/sites/1").json
    one = client.patch("/sites/1", json={"max_running": None, "paused": False}).json
    assert {name: one[name] for name in LIMITS} == {**LIMITS, "max_running": None, "paused": False}
    whole = client.put("/sites/1", json={"name": "Acme"}).json
    assert {name: whole[name] for name in NONE} == NONE


def test_a_form_takes_limits_and_what_it_leaves_empty_is_no_limit(client: FlaskClient) -> None:
    form = {"name": "Acme", **{name: str(value).lower() for name, value in LIMITS.items()}}
    made = client.post("/sites", data=form).json
    assert {name: made[name] for name in LIMITS} == LIMITS
    empty = {"_method": "PATCH", "max_running": "", "rate_per_s": "", "max_pending": "", "paused": "false"}
    changed = client.post("/sites/1", data=empty).json
    assert {name: changed[name] for name in NONE} == {**NONE, "weight": 2.5, "burst": 3}


BAD_LIMITS = [
    ("weight", (0, 0.009, 100.1, -1, None, "1", True)), ("max_running", (0, 10_001, 1.5, "1", True, -1)),
    ("rate_per_s", (0, 0.0009, 10_001, "1", False)), ("burst", (0, 10_001, None, 1.5)),
    ("max_pending", (0, 1_000_001, -1, 1.5)), ("paused", (None, 0, "false")),
]


@ON_SQLITE
def test_a_limit_out_of_bounds_is_named(client: FlaskClient, subtests: pytest.Subtests) -> None:
    add_site(client)
    for name, values in BAD_LIMITS:
        for value in values:
            with subtests.test(name=name, value=str(value)):
                assert pointers(client.patch("/sites/1", json={name: value})) == [f"/{name}"]


def test_a_change_of_a_site_holds_at_once(client: FlaskClient) -> None:
    add_user(client)
    first, second, third = (add_job(client)["id"] for _ in range(3))
    board = board_of(client)
    client.patch("/sites/1", json={"paused": True})
    assert take(board) == []
    client.patch("/sites/1", json={"paused": False, "max_running": 1})
    assert ids(take(board, slices=3)) == [[first]]
    assert client.get("/sites/1").json["hold"] == "max_running"
    client.patch("/sites/1", json={"max_running": 2})
    assert ids(take(board, slices=3)) == [[second]]
    client.patch("/sites/1", json={"max_running": None, "rate_per_s": 0.001, "burst": 1})
    assert ids(take(board, slices=3)) == [[third]]


def test_a_site_tells_what_holds_it(client: FlaskClient) -> None:
    add_user(client)
    assert client.get("/sites/1").json["hold"] is None
    client.patch("/sites/1", json={"rate_per_s": 0.001})
    add_job(client)
    add_job(client)
    assert len(take(board_of(client), slices=5)) == 1
    found = client.get("/sites/1").json
    assert (found["hold"], found["in_flight"]) == ("rate", 1)
    client.patch("/sites/1", json={"max_running": 1})
    assert client.get("/sites").json[0]["hold"] == "max_running"
    assert client.patch("/sites/1", json={"paused": True}).json["hold"] == "paused"


def test_without_a_board_a_site_still_tells_that_it_is_paused(client: FlaskClient) -> None:
    add_site(client, paused=True, max_running=1)
    board_of(client).wipe()
    found = client.get("/sites/1").json
    assert (found["hold"], found["in_flight"]) == ("paused", None)


@ON_SQLITE
def test_buttons_pause_and_resume_a_site_and_lead_back(client: FlaskClient) -> None:
    add_site(client)
    for paused in (True, False):
        for path in ("/sites/1", "/sites"):
            button = f'name="paused" value="{str(paused).lower()}"><button'
            assert button in client.get(path, headers=BROWSER).text
        response = client.post("/sites/1", data={"_method": "PATCH", "paused": str(paused).lower()},
                               headers={**BROWSER, "Referer": "http://localhost/sites?limit=1"})
        assert (response.status_code, response.headers["Location"]) == (303, "/sites?limit=1")
        assert client.get("/sites/1").json["paused"] is paused


@pytest.mark.parametrize("referer", [
    "", "nonsense", "https://evil.example/", "http://localhost:81/x", "http://localhost@evil.example/",
    "http://evil.example/localhost",
])
@ON_SQLITE
def test_a_form_leads_nowhere_but_to_pages_of_ours(client: FlaskClient, referer: str) -> None:
    add_site(client)
    headers = {**BROWSER, "Referer": referer}
    assert client.post("/sites/1", data={"_method": "PATCH", "name": "a"}, headers=headers).headers["Location"] == (
        "/sites/1")
    away = {**BROWSER, "Referer": "http://localhost//evil.example/"}
    assert client.post("/lanes/1s/pause", headers=away).headers["Location"] == "/evil.example/"


# Lanes


def test_lanes_tell_how_full_they_are(client: FlaskClient) -> None:
    add_user(client)
    for seconds in (0.5, 0.75, 5):
        add_job(client, execution_time=seconds)
    assert [lane["label"] for lane in client.get("/lanes").json] == ["1ms", "10ms", "100ms", "1s", "10s"]
    take(board_of(client), "task_05")
    lane, long = _lane(client, "1s"), _lane(client, "10s")
    assert lane == {
        "name": "task_04", "label": "1s", "queue": "band-1s", "waiting": 2, "flying": 0, "sites": 1, "backlog_s": 1.25,
        "paused": False, "links": {"jobs": "/jobs?band=task_04", "pause": "/lanes/task_04/pause"},
    }
    assert (long["waiting"], long["flying"], long["backlog_s"]) == (0, 1, 0)


def test_a_paused_lane_hands_nothing_out_until_it_is_resumed(client: FlaskClient) -> None:
    add_user(client)
    add_job(client)
    paused = client.post("/lanes/1s/pause")
    assert (paused.status_code, paused.json["paused"]) == (200, True)
    assert [lane["label"] for lane in client.get("/lanes").json if lane["paused"]] == ["1s"]
    assert take(board_of(client)) == []
    assert client.post("/lanes/1s/pause").json["paused"], "once more changes nothing"
    assert not client.post(paused.json["links"]["resume"]).json["paused"]
    assert len(take(board_of(client))) == 1


def test_without_redis_lanes_are_counted_from_sql_and_the_sweep_pauses_them(
    client: FlaskClient, settings: Settings, redis: Redis
) -> None:
    add_user(client)
    add_job(client)
    board_of(client).wipe()
    assert client.post("/lanes/task_04/pause").json["paused"]
    lane = _lane(client, "1s")
    assert (lane["waiting"], lane["flying"], lane["sites"], lane["backlog_s"]) == (1, None, None, None)
    with client.application.app_context():
        repair.Sweeper(settings, board_of(client), redis).sweep()
    assert (_lane(client, "1s")["flying"], take(board_of(client))) == (0, [])


@ON_SQLITE
def test_a_lane_that_is_not_there_is_not_found(client: FlaskClient) -> None:
    assert "task_04 (1s)" in problem(client.post("/lanes/2s/pause"), 404)["detail"]
    problem(client.get("/lanes/1s/pause"), 405)


@ON_SQLITE
def test_buttons_pause_and_resume_a_lane_and_lead_back(client: FlaskClient) -> None:
    add_job(client, user=add_user(client))
    for move, paused in (("pause", True), ("resume", False)):
        assert f"/website/lanes/task_04/{move}" in client.get("/website/", headers=BROWSER).text
        response = client.post(f"/website/lanes/task_04/{move}", headers=BROWSER)
        assert (response.status_code, response.headers["Location"]) == (303, "/website/")
        assert _lane(client, "1s")["paused"] is paused


# The policy


def test_a_policy_is_chosen_and_given_up(client: FlaskClient) -> None:
    add_user(client)
    add_job(client)
    before = client.get("/policy").json
    assert (before["policy"], before["chosen_at_run_time"]) == ("balanced", False)
    assert [row["name"] for row in before["policies"]] == list(POLICIES)
    assert before["policies"][0]["head_start"] == POLICIES["balanced"].head_start
    chosen = client.put("/policy", json={"policy": "fair"}).json
    assert (chosen["policy"], chosen["chosen_at_run_time"]) == ("fair", True)
    assert board_of(client).rules.read().policy == "fair"
    assert board_of(client).view.ranking("task_04", 1)[0].boost == 0
    back = client.put("/policy", json={"policy": None}).json
    assert (back["policy"], back["chosen_at_run_time"]) == ("balanced", False)
    assert board_of(client).rules.read().policy == "balanced"


def test_without_redis_a_policy_is_kept_and_the_sweep_goes_by_it(
    client: FlaskClient, settings: Settings, make_client: MakeClient, redis: Redis, tmp_path: Path
) -> None:
    away = make_client(replace(settings, redis_url=f"unix://{tmp_path / 'nobody.sock'}"))
    assert away.put("/policy", json={"policy": "fifo"}).json["policy"] == "fifo"
    assert board_of(client).rules.read().policy == "balanced"
    with client.application.app_context():
        repair.Sweeper(settings, board_of(client), redis).sweep()
    assert board_of(client).rules.read().policy == "fifo"


@ON_SQLITE
def test_the_policy_of_the_board_is_told_where_none_was_chosen(client: FlaskClient, settings: Settings) -> None:
    with client.application.app_context():
        controls.apply(board_of(client), replace(settings, policy="shortest"))
    assert client.get("/policy").json["policy"] == "shortest"


@pytest.mark.parametrize(("body", "pointer"), [
    ({"policy": "best"}, "/policy"), ({"policy": 1}, "/policy"), ({"policy": ""}, "/policy"),
    ({}, "/policy"), ([], ""),
])
@ON_SQLITE
def test_a_policy_that_is_not_there_is_refused(client: FlaskClient, body: Any, pointer: str) -> None:
    assert pointers(client.put("/policy", json=body)) == [pointer]


@pytest.mark.parametrize("sent", [{"json": {}}, {"json": {"rule": "fair"}}, {"data": {"_method": "PUT"}}])
@ON_SQLITE
def test_what_names_no_policy_takes_no_choice_back(client: FlaskClient, sent: dict[str, Any]) -> None:
    client.put("/policy", json={"policy": "fair"})
    assert "/policy" in pointers(client.put("/policy", **sent))
    assert client.get("/policy").json["policy"] == "fair"


@ON_SQLITE
def test_the_dashboards_form_chooses_the_policy(client: FlaskClient) -> None:
    add_user(client)
    response = client.post("/policy", data={"policy": "fair"}, headers=BROWSER)
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    page = client.get("/", headers=BROWSER).text
    assert '<option value="fair" selected>' in page
    assert client.post("/policy", data={"policy": ""}).json["policy"] == "balanced"


@pytest.mark.parametrize("path", ["/lanes", "/policy"])
@ON_SQLITE
def test_a_browser_is_led_to_the_dashboard(client: FlaskClient, path: str) -> None:
    response = client.get(path, headers=BROWSER)
    assert (response.status_code, response.headers["Location"]) == (303, "/")


@pytest.mark.parametrize(("method", "path"), [("POST", "/lanes/1s/pause"), ("POST", "/policy"), ("PUT", "/policy")])
@ON_SQLITE
def test_pages_of_other_origins_set_nothing(client: FlaskClient, method: str, path: str) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    problem(client.open(path, method=method, data={"policy": "fifo"}, headers=foreign), 403)
    assert not client.get("/policy").json["chosen_at_run_time"]
    assert not _lane(client, "1s")["paused"]


# The command


def _command(settings: Settings, arguments: Sequence[str]) -> Result:
    return CliRunner().invoke(main, ["policy", *arguments], env=environment(settings), catch_exceptions=False)


def test_the_command_shows_and_sets_the_policy(client: FlaskClient, settings: Settings) -> None:
    assert "* balanced" in _command(settings, []).output
    assert "as the settings say" in _command(settings, []).output
    said = _command(settings, ["fair"])
    assert "* fair" in said.output
    assert "chosen at run time" in said.output
    assert board_of(client).rules.read().policy == client.get("/policy").json["policy"] == "fair"
    assert "* balanced" in _command(settings, ["--default"]).output
    assert board_of(client).rules.read().policy == "balanced"


@ON_SQLITE
def test_the_command_refuses_what_it_does_not_know(client: FlaskClient, settings: Settings) -> None:
    for arguments in (["best"], ["fair", "--default"]):
        assert _command(settings, arguments).exit_code == 2
    with client.application.app_context():
        assert db.session.query(controls.Control).count() == 0


@ON_SQLITE
def test_without_a_board_the_command_says_who_will_tell_it(client: FlaskClient, settings: Settings) -> None:
    board_of(client).wipe()
    said = _command(settings, ["fifo"])
    assert (said.exit_code, "* fifo" in said.output, "sweep" in said.output) == (0, True, True)
