"""The board: the Redis index of all waiting jobs. Only this package knows the names of its keys."""

from jobsched.board.answers import Aside, Flying, Lane, LaneLoad, Ranked, SiteStanding, Waiting
from jobsched.board.codes import Code, code_of
from jobsched.board.core import MOST_JOBS, Board, HeldJob
from jobsched.board.presence import Presence
from jobsched.board.rules import Rules, State, fingerprint, layout
from jobsched.board.store import BATCH, OLDER, PREFIX
from jobsched.board.view import LATELY_S

__all__ = [
    "BATCH", "LATELY_S", "MOST_JOBS", "OLDER", "PREFIX", "Aside", "Board", "Code", "Flying", "HeldJob", "Lane",
    "LaneLoad", "Presence", "Ranked", "Rules", "SiteStanding", "State", "Waiting", "code_of", "fingerprint", "layout",
]
