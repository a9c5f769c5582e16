"""How gunicorn serves the web; it reads this file by itself."""

from jobsched.host.gunicorn import *  # noqa: F403 - these are its settings
