"""Plant every fault of the catalog in a copy of the tree, one at a time; fail when one survives its tests."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.catalog import DATABASES, MUTANTS, Mutant
from tests.mutants.plant import Rotten, Tree, Verdict


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="those whose names hold TEXT")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="how many at a time")
    options = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if options.only in mutant.name]
    begun = time.monotonic()
    try:
        verdicts = try_out(mutants, options.jobs)
    except Rotten as rotten:
        print(rotten)
        return 2
    survivors = [verdict for verdict in verdicts if verdict.killed_by is None]
    print(f"{len(verdicts)} mutants, {len(verdicts) - len(survivors)} killed, {len(survivors)} survived, "
          f"{time.monotonic() - begun:.0f} s")
    return 1 if survivors or not verdicts else 0


def try_out(mutants: Sequence[Mutant], jobs: int) -> list[Verdict]:
    """Try each mutant, ``jobs`` at a time, and print what became of it. Raises Rotten."""
    with tempfile.TemporaryDirectory(prefix="jobsched-mutants-") as directory:
        made = [Tree(Path(directory) / str(number)) for number in range(jobs)]
        _must_pass(made[0], mutants)
        trees: SimpleQueue[Tree] = SimpleQueue()
        for tree in made:
            trees.put(tree)
        width = max((len(mutant.name) for mutant in mutants), default=0)

        def one(mutant: Mutant) -> Verdict:
            tree = trees.get()
            try:
                verdict = tree.try_out(mutant)
            finally:
                trees.put(tree)
            print(f"{mutant.name:{width}}  {verdict.seconds:5.1f} s  {verdict.killed_by or 'SURVIVED'}", flush=True)
            return verdict

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, mutants))


def _must_pass(tree: Tree, mutants: Sequence[Mutant]) -> None:
    """Without a fault all the tests must pass, else they would notice anything."""
    for database in DATABASES:
        tests = sorted({test for mutant in mutants if mutant.database == database for test in mutant.tests})
        code, output = tree.run(tests, database) if tests else (0, "")
        if code != 0:
            raise Rotten(f"without a fault the tests do not pass:\n{output}")


if __name__ == "__main__":
    sys.exit(main())
