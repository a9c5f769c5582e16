"""Plant every fault of the catalog in a copy of the tree, one at a time; fail when one survives its tests."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
    with tempfile.TemporaryDirectory(prefix="jobsched-mutants-") as directory, ThreadPoolExecutor(jobs) as pool:
        trees: SimpleQueue[Tree] = SimpleQueue()
        for number in range(jobs):
            trees.put(Tree(Path(directory) / str(number)))

        @contextmanager
        def one_tree() -> Iterator[Tree]:
            tree = trees.get()
            try:
                yield tree
            finally:
                trees.put(tree)

        def must_pass(portion: tuple[str, Sequence[str]]) -> None:
            with one_tree() as tree:
                tree.must_pass(*portion)

        list(pool.map(must_pass, _portions(mutants, jobs)))
        width = max((len(mutant.name) for mutant in mutants), default=0)

        def one(mutant: Mutant) -> Verdict:
            with one_tree() as tree:
                verdict = tree.try_out(mutant)
            print(f"{mutant.name:{width}}  {verdict.seconds:5.1f} s  {verdict.killed_by or 'SURVIVED'}", flush=True)
            return verdict

        return list(pool.map(one, mutants))


def _portions(mutants: Sequence[Mutant], jobs: int) -> Iterator[tuple[str, Sequence[str]]]:
    """The tests of all mutants, each once: for each database as many portions as run at a time."""
    for database in DATABASES:
        tests = sorted({test for mutant in mutants if mutant.database == database for test in mutant.tests})
        for first in range(min(jobs, len(tests))):
            yield database, tests[first::jobs]


if __name__ == "__main__":
    sys.exit(main())
