"""The gunicorn configuration of the web. WEB_CONCURRENCY and GUNICORN_CMD_ARGS still apply."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from jobsched.base.processes import die_with_parent
from jobsched.domain import ConfigError
from jobsched.host.up import CannotStart, refuse_foreign_host
from jobsched.ledger import database
from jobsched.queues import seal
from jobsched.work.loading import load_and_try_tasks

try:
    _settings = load_and_try_tasks(os.environ)
    refuse_foreign_host(_settings.host)
    seal.ours()  # in a worker it would be raised with its traceback, by each of them
    database.refuse_unfit(_settings)
except (ConfigError, CannotStart) as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(2)

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.web_processes
worker_class = "gthread"
threads = 8
graceful_timeout = 5
# A header says where we are (SCRIPT_NAME) and how we were reached only when a proxy is configured to send it.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")
control_socket_disable = True
loglevel = "warning"

_HANGUP_IS_IGNORED = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def when_ready(server: Any) -> None:
    """A SIGHUP that was ignored when we started, as under nohup, stays so."""
    _stay_deaf()


def post_fork(server: Any, worker: Any) -> None:
    """A worker ends with its master, also when that is killed."""
    die_with_parent(server.pid)


def post_worker_init(worker: Any) -> None:
    """As for the master."""
    _stay_deaf()


def _stay_deaf() -> None:
    if _HANGUP_IS_IGNORED:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
