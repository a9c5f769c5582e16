"""``python -m tests.architecture``: draw into docs/architecture.md what it shows of the code."""

from tests.architecture.document import PATH, redrawn

PATH.write_text(redrawn(PATH.read_text()))
