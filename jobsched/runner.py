"""Keeps the import names that slices waiting in Redis use; see :mod:`jobsched.work.runner`."""

from jobsched.work.runner import prune as tidy
from jobsched.work.runner import run_slice, wake

__all__ = ["run_slice", "tidy", "wake"]
