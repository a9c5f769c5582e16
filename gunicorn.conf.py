"""How gunicorn serves the web; it reads this file by itself. WEB_CONCURRENCY and GUNICORN_CMD_ARGS work as ever."""

import os

from jobsched.config import load
from jobsched.processes import die_with_parent
from jobsched.stack import refuse_foreign_host

_settings = load()
refuse_foreign_host(_settings.host)

bind = f"{_settings.host}:{_settings.port}"
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
worker_class = "gthread"
threads = 8
graceful_timeout = 5
# A header says where we are (SCRIPT_NAME) and how we were reached only when a proxy is configured to send it.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")
control_socket_disable = True
loglevel = "warning"


def post_fork(server, worker):
    """A worker ends with its master, also when that is killed."""
    die_with_parent(server.pid)
