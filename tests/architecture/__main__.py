"""``python -m tests.architecture`` redraws the generated parts of the documents."""

from tests.architecture.document import PARTS, redrawn

for path in PARTS:
    path.write_text(redrawn(path))
