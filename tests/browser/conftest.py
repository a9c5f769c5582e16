"""Fixtures for browser tests: Debian's Chromium, and data to look at."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, Playwright
from redis import Redis
from werkzeug.serving import make_server

from jobsched.config import Settings
from jobsched.host.embedded import free_port
from jobsched.host.up import child
from jobsched.ledger.models import db
from jobsched.policy import POLICIES
from jobsched.web.application import create_app
from tests.browser.api import Api
from tests.support import create_tables, eventually

ROOT = Path(__file__).parents[2]
#: No browser asks anybody but us for anything.
_ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Chromium as the system has it; where it has none, the test is skipped, or fails when servers are required."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        missing = "install chromium"
        if os.environ.get("JOBSCHED_REQUIRE_SERVERS") == "1":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return {"executable_path": found, "args": _ARGS, "headless": True}


@pytest.fixture(scope="session")
def base_url() -> None:
    """None: pages are named in full. Its own fixture in pytest-base-url uses what pytest 9 warns of."""


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """An empty SQLite database: the pages do not know which one they show."""
    return f"sqlite:///{tmp_path / 'jobsched.db'}"


@pytest.fixture
def still(settings: Settings, redis: Redis) -> Iterator[str]:
    """The address of the web alone, over an empty ledger: nobody works, so what waits stays waiting."""
    app = create_app(settings)
    with app.app_context():
        create_tables()
    board = app.extensions["jobsched.board"]
    board.rules.install(POLICIES[settings.policy], settings.bands, settings.tiers)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()
    app.extensions["jobsched.redis"].close()
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def make_api(playwright: Playwright) -> Iterator[Callable[[str], Api]]:
    """Makes a client of the JSON interface at an address."""
    with ExitStack() as stack:

        def make(url: str) -> Api:
            context = playwright.request.new_context(base_url=url, extra_http_headers={"Accept": "application/json"})
            stack.callback(context.dispose)
            return Api(context)

        yield make


@pytest.fixture
def api(make_api: Callable[[str], Api], still: str) -> Api:
    """A client of the web alone."""
    return make_api(still)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the whole stack, with dispatcher and workers, as `jobsched up` starts it."""
    home, port = tmp_path_factory.mktemp("stack"), free_port()
    env = {"JOBSCHED_HOME": str(home / "home"), "PORT": str(port), "JOBSCHED_WORKERS": "2"}
    url = f"http://127.0.0.1:{port}"
    with child(env, home / "log", stop_s=30, cwd=ROOT) as process:
        eventually(lambda: _is_ready(url, process, home / "log"), 90.0, every_s=0.2)
        yield url
    assert process.returncode == 0, (home / "log").read_text()


@pytest.fixture
def said(page: Page) -> list[str]:
    """What the page's console says, and what goes wrong in it, also against its content security policy."""
    lines: list[str] = []
    page.on("console", lambda message: lines.append(f"{page.url}: {message.text}"))
    page.on("pageerror", lambda error: lines.append(f"{page.url}: {error}"))
    return lines


def _is_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        with urlopen(f"{url}/readyz") as response:
            return bool(response.status == 200)
    except OSError:  # not there yet, or 503
        return False

