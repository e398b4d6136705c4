"""A hosted API: what it charges, refuses and keeps, and what its client does about it, by hand and by theory."""

import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.api.latency import ApiLatency, measured_times
from fleetrec.simulator.cloud.api.limits import TokenBucket
from fleetrec.simulator.cloud.api.node import ApiNode, ApiTicket, Call
from fleetrec.simulator.cloud.api.outages import Outages
from fleetrec.simulator.cloud.api.price import bill
from fleetrec.simulator.core.clock import Clock
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Api, ApiOutages, ApiPrice, MeasuredLatency

PRICE = {"input": 1.0, "cached_input": 0.25, "output": 4.0, "per_request": 0.001}


def api(**keys: Any) -> Api:
    """One second to the first token, a tenth of one for each further one."""
    return Api.model_validate({"price": PRICE, "latency": {"kind": "log_normal", "ttft": 1.0, "tpot": 0.1}} | keys)


def called(
    section: Api, calls: list[tuple[float, Call]], deadline_s: float = math.inf, seed: int = 1
) -> tuple[ApiNode, list[ApiTicket]]:
    """The node after all `calls` at their times, each with so long to its deadline."""
    clock, tickets = Clock(), []
    node = ApiNode(clock, section, Draws(seed))

    def arrive(t_s: float, call: Call) -> Generator[Any, Any, None]:
        yield clock.until(t_s, call.device)
        tickets.append(node.submit(call, t_s + deadline_s))

    for t_s, call in calls:
        clock.start(arrive(t_s, call))
    clock.advance(1e6)
    return node, tickets


def test_a_request_is_billed_by_its_tokens() -> None:
    found = bill(ApiPrice.model_validate(PRICE), 1000, 400, 50)
    assert found == pytest.approx((600e-6, 400 * 0.25e-6, 50 * 4e-6, 0.001))
    assert found.usd == pytest.approx(0.0019)


def test_a_batch_makes_tokens_cheaper_and_not_the_fee() -> None:
    price = ApiPrice.model_validate(PRICE | {"batch": {"price_factor": 0.5}})
    assert bill(price, 1000, 0, 50, batched=True) == pytest.approx((500e-6, 0.0, 100e-6, 0.001))


def test_an_answer_takes_its_first_token_and_each_further_one() -> None:
    _, (ticket,) = called(api(), [(5.0, Call(0, 0, 100, 11))])
    assert (ticket.t_started_s, ticket.t_first_token_s, ticket.t_finished_s) == pytest.approx((5.0, 6.0, 7.0))
    assert ticket.served is not None
    assert ticket.served.outcome == "completed"


def test_a_429_tells_when_to_come_back_and_the_client_does() -> None:
    """Two a minute, one at a time in the bucket: the second of two at once is let in after half a minute."""
    limits = {"requests_per_minute": 2, "burst": 30}
    node, tickets = called(api(limits=limits), [(0.0, Call(0, 0, 100, 1)), (0.0, Call(1, 0, 100, 1))])
    assert [ticket.t_started_s for ticket in tickets] == pytest.approx([0.0, 30.0])
    assert (node.answers[429], node.answers[200]) == (1, 2)


def test_without_retries_a_429_is_a_rejection_that_costs_nothing() -> None:
    section = api(limits={"concurrent": 1}, retries={"most": 0})
    _, (first, second) = called(section, [(0.0, Call(0, 0, 100, 1)), (0.5, Call(1, 0, 100, 1))])
    assert first.served is not None
    assert second.served is not None
    assert (first.served.outcome, second.served.outcome) == ("completed", "rejected")
    assert second.usd == 0.0


def test_who_waits_for_the_next_try_beyond_its_deadline_has_timed_out() -> None:
    section = api(limits={"requests_per_minute": 1, "burst": 60})
    _, (_, late) = called(section, [(0.0, Call(0, 0, 100, 1)), (0.0, Call(1, 0, 100, 1))], deadline_s=10.0)
    assert late.served is not None
    assert (late.served.outcome, late.t_finished_s, late.usd) == ("timed_out", 10.0, 0.0)


def test_an_answer_that_nobody_waits_for_any_more_is_paid_for() -> None:
    node, (ticket,) = called(api(), [(0.0, Call(0, 0, 1000, 101))], deadline_s=2.0)
    assert ticket.served is not None
    assert (ticket.served.outcome, ticket.t_finished_s) == ("timed_out", 2.0)
    assert ticket.usd == pytest.approx(1000e-6 + 101 * 4e-6 + 0.001) == node.bill.usd


def test_a_prefix_is_read_from_the_cache_until_its_lifetime_has_passed() -> None:
    cache = {"lifetime": 300, "least_tokens": 100, "block_tokens": 50}

    def prompt(tokens: int) -> Call:
        return Call(0, tokens, tokens + 10, 1, prefixes=(((0, 0), tokens), ("instruction", 60)))

    calls = [(0.0, prompt(220)), (200.0, prompt(240)), (900.0, prompt(260))]
    node, tickets = called(api(prompt_cache=cache), calls)
    full = [call.prompt_tokens * 1e-6 + 4e-6 + 0.001 for _, call in calls]
    saved = [0.0, 200 * 0.75e-6, 0.0]  # 220 tokens were kept, in whole blocks of 50; then they were forgotten
    assert [ticket.usd for ticket in tickets] == pytest.approx(np.array(full) - saved)
    assert node.cached_tokens == 200


def test_an_outage_breaks_off_what_is_under_way_and_refuses_what_comes() -> None:
    """Nobody pays for what was broken off, and the client comes back until the API does."""
    outages = {"every": 1000, "length": 20}
    begin_s, end_s = Outages(ApiOutages.model_validate(outages), Draws(1)).next_s(0.0)
    section = api(outages=outages, retries={"most": 100, "backoff": 1.0})
    node, (under_way, comes) = called(
        section, [(begin_s - 0.5, Call(0, 0, 1000, 1)), (begin_s + 0.1, Call(1, 0, 1000, 1))]
    )
    for ticket in (under_way, comes):
        assert ticket.t_started_s >= end_s
        assert ticket.usd == pytest.approx(1000e-6 + 4e-6 + 0.001)
    assert node.answers[503] >= 2
    assert node.answers[200] == 2


def test_a_batch_comes_after_its_delay_beside_the_limits() -> None:
    price = PRICE | {"batch": {"delay": 100, "window": 1e5}}
    section = api(price=price, limits={"concurrent": 1})
    node, tickets = called(section, [(0.0, Call(device, 0, 1000, 1, batched=True)) for device in range(400)])
    took_s = np.array([ticket.t_finished_s for ticket in tickets])
    assert (node.batched, node.answers[429]) == (400, 0)
    assert took_s.mean() == pytest.approx(100, rel=0.2)
    assert tickets[0].usd == pytest.approx((1000e-6 + 4e-6) / 2 + 0.001)


@given(
    per_s=st.floats(0.1, 50),
    size=st.floats(1, 200),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=60),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_a_token_bucket_lets_in_what_its_closed_form_does(
    per_s: float, size: float, gaps: list[float], data: st.DataObject
) -> None:
    """The whole of what was let in up to t never exceeds size + rate t, over any interval; and a take is refused only
    where it would, for just as long as it would."""
    bucket, let_in = TokenBucket(per_s, size), []
    now = 0.0
    for gap in gaps:
        now += gap
        amount = data.draw(st.floats(0.1, size))
        wait_s = bucket.lacks_s(amount, now)
        most = min(
            [
                size,
                *(size + per_s * (now - since_s) - sum(a for t, a in let_in if t >= since_s) for since_s, _ in let_in),
            ]
        )
        if wait_s:
            assert amount > most - 1e-6
            assert wait_s == pytest.approx((amount - most) / per_s, rel=1e-6, abs=1e-6)
        else:
            assert amount <= most + 1e-6
            bucket.take(amount)
            let_in.append((now, amount))


@given(limit=st.integers(2, 120), burst=st.integers(30, 120), n=st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_a_rate_limited_api_starts_as_many_as_its_bucket_holds(limit: int, burst: int, n: int) -> None:
    """Of n requests at once, with clients that do not come back, floor(limit x burst / 60) are let in, or n."""
    section = api(limits={"requests_per_minute": limit, "burst": burst}, retries={"most": 0})
    node, _ = called(section, [(0.0, Call(device, 0, 10, 1)) for device in range(n)])
    assert node.answers[200] == min(n, math.floor(limit * burst / 60 + 1e-9))
    assert node.answers[429] == n - node.answers[200]


def test_under_steady_overload_an_api_serves_its_limit() -> None:
    """Five requests a second against 60 a minute for an hour: the bucket's minute and 3,600 more, to a tenth of 1%."""
    section = api(limits={"requests_per_minute": 60}, retries={"most": 0})
    node, _ = called(section, [(0.2 * k, Call(k, 0, 10, 1)) for k in range(18_000)])
    assert node.answers[200] == pytest.approx(60 + 3600, rel=1e-3)


def test_times_follow_their_law_and_the_day() -> None:
    law = {"kind": "log_normal", "ttft": 0.5, "ttft_spread": 0.4, "tpot": 0.01}
    plain, daily = (ApiLatency(api(latency=law, **more), Draws(1)) for more in ({}, {"daily": {"peak_hour": 15}}))
    ttft_s = np.array([plain.draw((device, 0, 0), 0.0).ttft_s for device in range(4000)])
    assert np.median(ttft_s) == pytest.approx(0.5, rel=0.03)
    assert np.std(np.log(ttft_s)) == pytest.approx(0.4, rel=0.05)
    at_peak = [daily.draw((device, 0, 0), 15 * 3600.0).ttft_s for device in range(10)]
    assert at_peak == pytest.approx(1.5 * ttft_s[:10])


def test_a_heavy_tail_is_a_pareto_number_times_the_law() -> None:
    law = {"kind": "log_normal", "ttft": 1.0, "tpot": 0.0, "tail": {"share": 0.1, "index": 2.0}}
    drawn = ApiLatency(api(latency=law), Draws(1))
    ttft_s = np.array([drawn.draw((device, 0, 0), 0.0).ttft_s for device in range(20_000)])
    assert (ttft_s > 1).mean() == pytest.approx(0.1, rel=0.1)
    assert (ttft_s > 3).mean() == pytest.approx(0.1 / 9, rel=0.2)


def test_times_of_a_log_are_those_of_its_requests(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "arrival_s,prompt_tokens,output_tokens,first_token_s,last_token_s\n0,10,11,0.5,1.5\n3,10,21,3.25,4.25\n"
    )
    section = MeasuredLatency(path=str(log))
    assert measured_times(section) == [(0.5, pytest.approx(0.1)), (0.25, pytest.approx(0.05))]
    law = ApiLatency(api(latency={"kind": "log", "path": str(log)}), Draws(1))
    assert {law.draw((device, 0, 0), 0.0).ttft_s for device in range(50)} == {0.5, 0.25}


def test_a_log_without_times_of_tokens_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("arrival_s,prompt_tokens,output_tokens\n0,10,11\n")
    with pytest.raises(InputError, match=r"cloud\.api\.latency\.path: .* does not say when first and last tokens came"):
        measured_times(MeasuredLatency(path=str(log)))


def test_draws_hang_on_who_asks_and_not_on_who_else_does() -> None:
    law = {"kind": "log_normal", "ttft": 0.5, "ttft_spread": 0.4, "tpot": 0.01}
    alone = called(api(latency=law), [(0.0, Call(7, 3, 10, 1))])[1][0]
    among = called(api(latency=law), [(0.0, Call(device, 3, 10, 1)) for device in range(10)])[1][7]
    assert alone.t_finished_s == among.t_finished_s
