"""The settings, as a table."""

from __future__ import annotations

from jobsched.base.variables import Variable
from jobsched.config import VARIABLES


def table() -> str:
    """A row for each setting, in the order in which they are declared."""
    lines = ["| variable | default | accepted values | meaning |", "|---|---|---|---|"]
    lines += [f"| `{each.name}` | {_default(each)} | {each.format.accepted} | {each.meaning} |"
              for each in VARIABLES.values()]
    return "\n".join(lines)


def _default(variable: Variable[object]) -> str:
    return variable.shown or (f"`{variable.default}`" if variable.default else "")
