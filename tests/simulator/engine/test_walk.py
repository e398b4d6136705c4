"""What is foreseen of devices comes true: little of a run is computed in vain."""

from typing import Any

import numpy as np
import pytest

from fleetrec.simulator.workload.users.choosing import Choosing
from tests.simulator.reacting import lives, reacting


@pytest.mark.parametrize(
    "policy",
    [
        {"request": {"kind": "always"}},
        {"request": {"kind": "random", "ratio": 0.4}, "when_offline": "wait"},
        {"request": {"kind": "staleness", "threshold": 2}},
        {"request": {"kind": "every", "n": 3}},
        {"request": {"kind": "session_start", "gap": "40min"}},
        {"request": {"kind": "inconsistency", "threshold": 19.5}},
        {"request": {"kind": "staleness", "age": "50min"}},
        {"request": {"kind": "congestion", "late": "500ms"}},
        {"request": {"kind": "nightly_on_wifi", "at": "1h", "window": "20h", "links": ["constant"]}},
        {"request": {"kind": "cloud_push", "every": "1h", "at": "1min", "window": "30min"}},
    ],
    ids=str,
)
def test_a_device_is_followed_through_requests_that_fail_as_through_those_that_are_answered(
    policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    walked = np.zeros(2, dtype=np.int64)
    follow = Choosing.follow

    def counted(self: Choosing, user: Any, *rest: Any) -> Any:
        walked[:] += 1, len(user)
        return follow(self, user, *rest)

    monkeypatch.setattr(Choosing, "follow", counted)
    link = {"kind": "constant", "rtt": "200ms", "loss": 0.2}
    fleet = {"classes": [{"name": "far", "share": 1, "link": link}]}
    churn = {"churn": {"kind": "on_off", "online": "60min", "offline": "20min"}}
    tables = lives(reacting(policy=policy, fleet={"devices": 48} | fleet | churn))
    came = (tables["opportunities"]["outcome"] != "away").sum()
    assert (tables["requests"]["outcome"] == "lost").sum() > 10
    calls, users = walked
    assert came <= users < 1.15 * came
    assert calls < came / 5
