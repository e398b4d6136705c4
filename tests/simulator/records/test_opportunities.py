"""What came of opportunities stands in order by device and time, with how long users stayed away."""

import numpy as np

from fleetrec.simulator.records.opportunities import OpportunityLog
from fleetrec.simulator.workload.users.choosing import LEAVES, ORGANIC, SKIP, SLATE, STAYS
from fleetrec.simulator.workload.users.opportunities import Opportunities

NAN = float("nan")
TIMES = Opportunities.of(np.array([0.0, 60.0, 9000.0, 20000.0, 5.0]), np.array([0, 4]), np.array([4, 5]), 1800.0)
"""three sessions of device 0, the first of two rows, and one of device 1"""


def test_rows_are_by_device_and_time_in_whatever_order_they_came() -> None:
    log = OpportunityLog()
    log.add(4, 1, SKIP, -1, -1, 2.0, 3.0, 4.0, -0.5, STAYS)
    log.add(0, 0, SLATE, 7, 2, 5.0, 6.0, 8.0, 0.25, LEAVES)
    log.stayed_away(2, 0, 0.25)
    log.add(3, 0, ORGANIC, 9, -1, 1.0, NAN, NAN, 0.0, STAYS)
    told = log.table(TIMES).to_pandas()
    assert told["outcome"].tolist() == ["slate", "away", "organic", "skip"]
    assert told["device"].tolist() == [0, 0, 0, 1]
    assert told["opportunity"].tolist() == [0, 2, 3, 0]
    assert told["session"].tolist() == [0, 1, 2, 0]
    assert told["t_s"].tolist() == [0.0, 9000.0, 20000.0, 5.0]
    assert told["item"].tolist() == [7, -1, 9, -1]
    assert told["ends"].tolist() == ["session", "", "", ""]
    # It came back after the session that it missed; nobody came back after the last one.
    assert told["return_s"].tolist()[0] == 20000.0
    assert told["return_s"][1:].isna().all()


def test_a_run_in_which_nobody_came_has_no_row() -> None:
    assert OpportunityLog().table(TIMES).num_rows == 0
