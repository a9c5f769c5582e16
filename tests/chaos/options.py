"""What a run is asked to do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("kill", "stop", "trouble", "lose")


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
    parser.add_argument("--faults", default=",".join(KINDS), help="the kinds of faults: kill, stop, trouble, lose")
    parser.add_argument("--control", choices=["", "rq"], default="", help="run bare RQ as well, and show both")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the directory also when all is well")
    values = vars(parser.parse_args(arguments))
    faults = tuple(filter(None, values.pop("faults").split(",")))
    if set(faults) - set(KINDS):
        parser.error(f"--faults: out of {', '.join(KINDS)}")
    return Options(faults=faults, **values)


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)
