"""Keeps the import names that the command line of a plain ``rq worker`` uses; see :mod:`jobsched.queues.lanes`."""

from jobsched.queues.lanes import LaneQueue, SliceJob

__all__ = ["LaneQueue", "SliceJob"]
