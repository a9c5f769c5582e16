"""Keeps the import names that the command line of a plain ``rq worker`` uses; see :mod:`jobsched.queues.lanes`."""

from jobsched.queues.guarded_worker import GuardedWorker
from jobsched.queues.lanes import LaneQueue, SliceJob

__all__ = ["GuardedWorker", "LaneQueue", "SliceJob"]
