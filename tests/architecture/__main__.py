"""``python -m tests.architecture`` redraws the generated parts of docs/architecture.md."""

from tests.architecture.document import PATH, redrawn

PATH.write_text(redrawn(PATH.read_text()))
