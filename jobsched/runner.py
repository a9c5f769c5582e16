"""The names by which slices that wait in Redis call the worker: :mod:`jobsched.work.runner`."""

from jobsched.work.runner import run_slice, tidy, wake

__all__ = ["run_slice", "tidy", "wake"]
