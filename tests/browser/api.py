"""A small client of the JSON API, to set up what a page shows."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import APIRequestContext


class Api:
    """Creates and reads over HTTP, as a client that is no browser."""

    def __init__(self, context: APIRequestContext) -> None:
        self._context = context

    def post(self, path: str, data: Any = None) -> Any:
        """The JSON of the answer, which must be a success."""
        answer = self._context.post(path, data=data if data is not None else {})
        assert answer.ok, answer.text()
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self._context.get(path)
        assert answer.ok, answer.text()
        return answer.json()

    def add_site(self, **fields: Any) -> int:
        """The id of a new site."""
        return int(self.post("/sites", {"name": "Acme", **fields})["id"])

    def add_user(self, **fields: Any) -> int:
        """The id of a new user record, of a new site when none is given."""
        home = fields.pop("site", None) or self.add_site()
        return int(self.post("/user-records", {"site": home, "name": "Ann", **fields})["id"])

    def add_job(self, **fields: Any) -> int:
        """The id of a new job, of user 1 at site 1 unless others are given."""
        return int(self.post("/jobs", {"user": 1, "site": 1, "execution_time": 5, **fields})["id"])
