"""``python -m jobsched``."""

from jobsched.cli import main

if __name__ == "__main__":  # a process that a task starts with multiprocessing imports this module anew
    main(prog_name="jobsched")
