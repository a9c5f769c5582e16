"""The options of a chaos run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.faults import KINDS
from tests.chaos.troubles import TROUBLES

#: One name for several.
GROUPS = {"trouble": tuple(TROUBLES)}


@dataclass(frozen=True)
class Options:
    """``faults`` are kinds out of KINDS; ``control`` is ``rq`` or nothing."""

    seconds: float
    seed: int
    db: str
    faults: tuple[str, ...]
    control: str
    json: bool
    keep: bool

    @property
    def is_choice(self) -> bool:
        """Whether somebody chose the faults, and will not have any of them left out."""
        return self.faults != KINDS

    def again(self) -> str:
        """The command that does the same once more."""
        faults = "" if self.faults == KINDS else f" FAULTS={','.join(self.faults)}"
        return f"make chaos SECONDS={self.seconds:g} SEED={self.seed} DB={self.db}{faults}"


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seconds", type=float, default=120, help="how long things are broken")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--db", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--faults", default="", help=f"some of {', '.join(KINDS)}, or trouble for all from"
                        f" {next(iter(TROUBLES))} on; all that this machine can do when none is named")
    parser.add_argument("--control", choices=["", "rq"], default="", help="run bare RQ as well, and show both")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the directory also when all is well")
    values = vars(parser.parse_args(arguments))
    named = [kind for name in filter(None, values.pop("faults").split(",")) for kind in GROUPS.get(name, (name,))]
    if unknown := set(named) - set(KINDS):
        parser.error(f"--faults: {', '.join(sorted(unknown))}: must be out of {', '.join([*KINDS, *GROUPS])}")
    return Options(faults=tuple(kind for kind in KINDS if kind in named or not named), **values)


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)
