"""The report of a run: times in readable units."""

from __future__ import annotations

from array import array

from jobsched.simulate import report
from jobsched.simulate.engine import House, Trace
from jobsched.simulate.measures import measure
from jobsched.simulate.runs import Outcome
from jobsched.simulate.workloads import Arrival, workload
from jobsched.staffing.plan import slots
from tests.support import BANDS, TIERS


def test_a_wait_below_a_nanosecond_is_none() -> None:
    load = workload("two", 1, [Arrival(0.1, 1, 1, 0.2, 0.2), Arrival(0.7, 1, 1, 0.1, 0.1)])
    ends = array("d", [at + length + 3e-17 for at, length in zip(load.at, load.length, strict=True)])
    result = measure(load, Trace("any", load.at, ends), BANDS)
    outcome = Outcome(load, House(BANDS, TIERS, tuple(slots(1, BANDS)), 0.1), [result])

    assert 0 < result.wait_s.max < 1e-15
    waits = report.tables(outcome, BANDS)[1]
    assert [cell for column in waits.columns[1:5] for cell in column.cells] == ["0 s"] * 4
    assert "e-17" not in report.page([outcome], BANDS)
