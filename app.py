"""The web application, as a WSGI server finds it: ``gunicorn app:app``."""

from jobsched import create_app

app = create_app()
