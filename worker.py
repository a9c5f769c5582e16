"""Starts the worker processes of this host: ``python worker.py``."""

import sys

from jobsched.cli import main

if __name__ == "__main__":
    sys.exit(main(["worker"]))
