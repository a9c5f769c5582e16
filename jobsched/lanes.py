"""The names that the command line of a plain ``rq worker`` gives: :mod:`jobsched.queues.lanes`."""

from jobsched.queues.lanes import LaneQueue, SliceJob

__all__ = ["LaneQueue", "SliceJob"]
