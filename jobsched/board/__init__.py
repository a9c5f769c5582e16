"""The board: the Redis index of all waiting jobs. Only this package knows the names of its keys."""

from jobsched.board.answers import Aside, Flying, LaneCount, LaneLoad, Ranked, SiteStanding, Waiting
from jobsched.board.core import MOST_JOBS, Board, HeldJob
from jobsched.board.knowing import Code, code_of
from jobsched.board.rules import Rules, fingerprint, layout
from jobsched.board.scripts import BATCH, OLDER, PREFIX

__all__ = [
    "BATCH", "MOST_JOBS", "OLDER", "PREFIX", "Aside", "Board", "Code", "Flying", "HeldJob", "LaneCount", "LaneLoad",
    "Ranked", "Rules", "SiteStanding", "Waiting", "code_of", "fingerprint", "layout",
]
