"""The score in plain Python, written from the formula in ``policy.py``: what the board's scripts are held to."""

from __future__ import annotations

from dataclasses import dataclass

from jobsched.policy import Weights


@dataclass(frozen=True)
class Standing:
    """Where a site stands in a lane: all that the formula needs."""

    points: int
    tag: float
    head_enqueued_at: float
    head_execution_time: float


def score(standing: Standing, weights: Weights) -> float:
    """The site's score in a lane; higher goes first."""
    return (
        weights.boost * min(standing.points, weights.points_cap)
        - weights.share * standing.tag
        - weights.age * standing.head_enqueued_at
        - weights.size * standing.head_execution_time
    )


def line_score(tag: float, enqueued_at: float, execution_time: float, weights: Weights) -> float:
    """A job's place in its site's line, by the same rule one level down; lower goes first.

    ``tag`` is the start tag of the job's user within the line, set once when the job is placed.
    """
    return weights.share * tag + weights.age * enqueued_at + weights.size * execution_time
