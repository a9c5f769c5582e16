"""``python -m jobsched``."""

from jobsched.cli import main

main(prog_name="jobsched")
