"""The web under gunicorn: damaged requests, and which headers of a client it trusts."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobsched.config import Settings
from jobsched.host.embedded import free_port
from tests.acceptance.up import BARE, ROOT
from tests.support import eventually

pytestmark = [
    pytest.mark.slow, pytest.mark.usefixtures("ledger", "redis"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

SITE = b'{"name":"Acme"}'
#: Bodies that no chunked coding makes, each with the reason.
BROKEN_CHUNKS = {
    "size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "negative size": b"-1\r\nhello\r\n0\r\n\r\n",
    "size with a plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "size with an underscore": b"1_0\r\nhello\r\n0\r\n\r\n",
    "size with a space": b" 5\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "size that is no number": b"five\r\nhello\r\n0\r\n\r\n",
    "size in other digits": "\u0665\r\nhello\r\n0\r\n\r\n".encode(),
    "size without end": b"5" * 20_000,
    "chunk longer than its size": b"2\r\nhello\r\n0\r\n\r\n",
    "bad extension": b"5;a b=\rc\r\nhello\r\n0\r\n\r\n",
    "bad trailer": b"5\r\nhello\r\n0\r\nnot a trailer\r\n\r\n",
    "trailer with a bad name": b"5\r\nhello\r\n0\r\nbad name: x\r\n\r\n",
    "cut off in a chunk": b"50\r\nhello",
    "cut off before the end": b"5\r\nhello\r\n",
}


@dataclass(frozen=True)
class Web:
    """A running gunicorn, and the file that holds what it says."""

    port: int
    log: Path

    def send(self, raw: bytes) -> bytes:
        """Send bytes as they are, end the sending side, and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        return answer

    def post(self, path: str, chunks: bytes, *headers: str) -> bytes:
        """Send a chunked POST."""
        head = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json",
                "Transfer-Encoding: chunked", *headers]
        return self.send("\r\n".join(head).encode() + b"\r\n\r\n" + chunks)

    def get(self, path: str, *headers: str) -> bytes:
        head = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
        return self.send("\r\n".join(head).encode() + b"\r\n\r\n")

    def answers(self) -> bool:
        try:
            return self.get("/healthz").startswith(b"HTTP/1.1 200")
        except OSError:
            return False


@contextmanager
def serving(settings: Settings, tmp_path: Path, **environ: str) -> Iterator[Web]:
    """The web in gunicorn for the block, as the Procfile starts it."""
    web = Web(free_port(), tmp_path / "web.log")
    env = {**BARE, "JOBSCHED_HOME": str(tmp_path), "DATABASE_URL": settings.database_url,
           "REDIS_URL": settings.redis_url, "SECRET_KEY": settings.secret_key, "PORT": str(web.port),
           "WEB_CONCURRENCY": "1", **environ}
    with web.log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "gunicorn", "app:app"], cwd=ROOT, env=env,
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        eventually(web.answers)
        yield web
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def web(settings: Settings, tmp_path: Path) -> Iterator[Web]:
    with serving(settings, tmp_path) as started:
        yield started


def status(answer: bytes) -> int | None:
    """The status of an answer; None without one."""
    return int(answer.split(b" ", 2)[1]) if answer else None


def test_a_body_in_broken_chunks_is_refused_and_changes_nothing(web: Web, subtests: pytest.Subtests) -> None:
    for path in ("/sites", "/jobs/1/cancel", "/lanes/10s/pause", "/nowhere", "/healthz"):
        for what, chunks in BROKEN_CHUNKS.items():
            with subtests.test(path=path, what=what):
                answer = web.post(path, chunks)
                assert status(answer) == 400, web.log.read_text()[-2000:]
    assert "Traceback" not in web.log.read_text()
    assert web.get("/sites").endswith(b"\r\n\r\n[]")
    assert b'"paused":true' not in web.get("/lanes")


def test_a_body_in_good_chunks_is_taken(web: Web) -> None:
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in (SITE[:4], SITE[4:]))
    assert status(web.post("/sites", chunks + b"0\r\nX-Sum: 1\r\n\r\n")) == 201


def test_a_body_shorter_than_it_says_is_refused_and_changes_nothing(web: Web) -> None:
    head = b"POST /sites HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    assert status(web.send(head + SITE)) == 400
    assert "Traceback" not in web.log.read_text()
    assert web.get("/sites").endswith(b"\r\n\r\n[]")


#: Headers by which a proxy tells what a client asked for, or a client pretends to be one.
PROXY_HEADERS = [
    "SCRIPT_NAME: /evil", "SCRIPT-NAME: /evil", "Script-Name: /", "SCRIPT_NAME: //evil.example", "PATH_INFO: /sites",
    "X-Forwarded-Prefix: /evil", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https",
    "X-Script-Name: /evil", "Forwarded: host=evil.example;proto=https", "REMOTE_USER: root",
]


def test_a_client_can_not_say_under_which_address_it_reached_us(web: Web, subtests: pytest.Subtests) -> None:
    for header in PROXY_HEADERS:
        with subtests.test(header=header):
            for path in ("/sites", "/evil/sites"):
                for accept in ("Accept: text/html", "Accept: application/json"):
                    assert without_date(web.get(path, accept, header)) == without_date(web.get(path, accept))
    assert "Traceback" not in web.log.read_text()


def test_a_proxy_that_is_configured_may_say_it(settings: Settings, tmp_path: Path) -> None:
    with serving(settings, tmp_path, FORWARDED_ALLOW_IPS="127.0.0.1") as web:
        assert b'"/shop/sites"' in web.get("/shop/", "SCRIPT_NAME: /shop", "Accept: text/html")


def without_date(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if not line.startswith(b"Date:")]
