"""jobsched in folders of any name, and installed from its wheel without the checkout."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from jobsched.base import home
from jobsched.base.addresses import redis_url, sqlite_url
from jobsched.base.processes import spawn
from jobsched.config import Settings, load
from jobsched.host.embedded import free_port
from jobsched.ledger import schema
from jobsched.ledger.database import ledger_app, reading, writing
from jobsched.ledger.models import Site, db
from tests.acceptance.shown import answer, arguments, pages
from tests.acceptance.up import BARE, ROOT
from tests.engine import engine, until_completed
from tests.servers import redis_binary
from tests.support import eventually, make_job

pytestmark = pytest.mark.slow

#: Everything at once that shells, URLs, make, ConfigParser and Redis' clients have a meaning for.
ODD = "two words=50%41 it's \"so\"; a&b $HOME #1 ten?a größe [x] -v"
#: What a checkout holds, but for what git does not keep.
TREE = ("jobsched", "migrations", "static", "templates", "scripts", "Makefile", "Procfile", "app.py", "worker.py",
        "gunicorn.conf.py", "pyproject.toml", "requirements.txt", "README.md", "CHANGELOG.md", "LICENSE")
ENVIRONMENT = {name: value for name, value in BARE.items() if name != "PYTHONPATH"}


def checkout(directory: Path) -> Path:
    """A copy of what is run."""
    directory.mkdir()
    for name in TREE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, directory / name)
    return directory


def virtual_environment(directory: Path) -> Path:
    """A fresh one that finds the libraries of ours; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    [packages] = directory.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return directory / "bin" / "python"


def run(argv: list[str | Path], cwd: Path, **env: str) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(argv, cwd=cwd, env={**ENVIRONMENT, **env}, capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_demo_runs_by_make_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """The environment is there already, as `make` leaves it: to install it anew would ask the network."""
    tree = checkout(tmp_path / ODD)
    (temporary := tmp_path / f"tmp {ODD}").mkdir()
    virtual_environment(tree / ".venv")
    key = "{ .venv/bin/python --version && cksum <%s %s; } >.venv/%s.stamp"
    run(["sh", "-c", key % ("requirements.txt", "", "requirements.txt")], tree)
    run(["sh", "-c", key % ("pyproject.toml", "&& pwd", "command")], tree)
    said = run(["make", "demo"], tree, TMPDIR=str(temporary))
    assert "All 20 jobs are completed, each exactly once" in said
    assert "installing" not in said
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("ledger")
def test_jobs_run_by_a_socket_and_a_database_of_any_name(settings: Settings, tmp_path: Path) -> None:
    (directory := Path("/tmp") / f"a=b c%41?#{os.getpid()}").mkdir()
    try:
        process = spawn([redis_binary(), "-"], os.environ, cwd=directory, output=subprocess.DEVNULL,
                        stdin=b'port 0\nunixsocket "redis.sock"\nsave ""\n')
        url = redis_url(str(directory / "redis.sock"))
        with engine(settings, tmp_path, ("dispatcher", "worker"), REDIS_URL=url, JOBSCHED_WORKERS="1") as running:
            make_job()
            until_completed(1, 60.0)
            assert "Traceback" not in running["worker"].said()
        process.kill()
        process.wait()
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize("name", ["ten?", "50%41", "a#", "x=1&y;", "with space ", "größe", "it's \"so\"", "-v", "~",
                                  "$HOME"])
def test_each_home_has_a_database_of_its_own(tmp_path: Path, name: str) -> None:
    homes = [tmp_path / f"{name}{end}" for end in "ab"]
    for site, directory in enumerate(homes, 1):
        directory.mkdir()
        settings = load({"JOBSCHED_HOME": str(directory)})
        assert settings.database_url == sqlite_url(directory / "jobsched.db")
        schema.upgrade(settings)
        with ledger_app(settings).app_context():
            with writing() as session:
                session.add(Site(name=f"site {site}"))
            with reading() as session:
                assert list(session.scalars(select(Site.name))) == [f"site {site}"]
            db.engine.dispose()
        assert (directory / "jobsched.db").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(directory.name for directory in homes)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    tree = checkout(tmp_path_factory.mktemp("build") / "checkout")
    dist = tree / "dist"
    run([sys.executable, "-m", "hatchling", "build", "-d", dist, "-t", "sdist", "-t", "wheel"], tree)
    return dist


def test_the_sdist_builds_the_same_wheel(packages: Path, tmp_path: Path) -> None:
    [sdist], [wheel] = packages.glob("*.tar.gz"), packages.glob("*.whl")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [tree] = tmp_path.iterdir()
    run([sys.executable, "-m", "hatchling", "build", "-d", tmp_path / "dist", "-t", "wheel"], tree)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(tmp_path / "dist" / wheel.name) as other:
        assert set(one.namelist()) == set(other.namelist())


@pytest.fixture
def installed(packages: Path, tmp_path: Path) -> Iterator[Path]:
    """The command of a fresh environment into which the wheel is installed, in a folder of an odd name."""
    python = virtual_environment(tmp_path / f"venv {ODD}")
    [wheel] = packages.glob("*.whl")
    run([python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--ignore-installed", wheel], tmp_path)
    yield python
    assert str(tmp_path) in run([python, "-c", "import jobsched; print(jobsched.__file__)"], tmp_path)


def test_the_installed_package_runs_the_whole_stack_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    (empty := tmp_path / f"empty {ODD}").mkdir()
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        stack = spawn([str(installed), "-m", "jobsched", "up"], {**ENVIRONMENT, "PORT": str(port)}, cwd=empty,
                      output=log)
    try:
        eventually(lambda: stack.poll() is not None or answer(port, "GET", "/readyz")[0] == http.client.OK, 90.0)
        assert stack.poll() is None, (tmp_path / "log").read_text()
        assert answer(port, "POST", "/sites", {"name": "Acme"})[0] == http.client.CREATED
        answer(port, "POST", "/user-records", {"site": 1, "name": "Ada"})
        answer(port, "POST", "/jobs", {"site": 1, "user": 1, "execution_time": 0.01})
        eventually(lambda: answer(port, "GET", "/jobs/1")[1]["status"] == "completed", 60.0)
        running = home.running(empty / "var")
        assert running
        assert running.url == f"http://127.0.0.1:{port}/"
        password = (empty / "var" / "redis" / "password").read_text()
        assert len(password) >= 32
        assert len(shown := [*arguments(stack.pid), *pages(port)]) > 30
        said = (tmp_path / "log").read_text().splitlines()
        assert [text for text in [*shown, *said] if password in text] == []
        [line] = [line for line in said if line.startswith("queues and workers: ")]
        assert "worker" in run(["sh", "-c", line.partition(": ")[2]], tmp_path)
    finally:
        stack.terminate()
        assert stack.wait(30) == 0
    assert [path.name for path in empty.iterdir()] == ["var"]

