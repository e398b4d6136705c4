"""Whether a hosted API's limits let the load of a fleet in at all: said before the run, with what would."""

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.tokens import llm_request_tokens, longest_request
from fleetrec.simulator.scenario import sections

_KEY = "cloud.api.limits"


def check_longest(llm: sections.Llm, cloud: sections.Cloud) -> None:
    """InputError where the longest request is more than the bucket of tokens ever holds."""
    limits = None if cloud.kind == "gpus" or cloud.api is None else cloud.api.limits
    if limits is None or limits.tokens_per_minute is None:
        return
    prompt, output, sequences = longest_request(llm)
    needs, holds = prompt + output * sequences, limits.tokens_per_minute * limits.burst / 60.0
    if needs > holds:
        raise InputError(
            f"{_KEY}.tokens_per_minute: a request of {needs:,} tokens is never let in by {holds:,.0f} tokens in "
            f"{limits.burst:g} s (burst); set at least {needs * 60.0 / limits.burst:,.0f}, or shorten llm.prompt"
        )


def check_load(
    policy: sections.Policy, llm: sections.Llm, cloud: sections.Cloud, decisions: float, seconds: float, history: int
) -> None:
    """InputError where an API alone is asked for more than it allows in the mean of the run, so that ever more requests
    wait: by a policy whose share of `decisions` in so many `seconds` is known; `history`: items in the mean prompt."""
    share = _share(policy)
    if cloud.kind != "api" or cloud.api is None or share is None or not seconds > 0:
        return
    prompt, output, sequences = llm_request_tokens(llm, history)
    asked = share * decisions * 60.0 / seconds
    limits = cloud.api.limits
    for key, limit, wanted in (
        ("requests_per_minute", limits.requests_per_minute, asked),
        ("tokens_per_minute", limits.tokens_per_minute, asked * (prompt + output * sequences)),
    ):
        if limit is not None and wanted > limit:
            raise InputError(
                f"{_KEY}.{key}: {limit:,.5g} a minute never suffice for the {wanted:,.0f} that this fleet asks for in "
                f"the mean; set more than that, or let the policy ask at {share * limit / wanted:.2g} of its decisions"
            )


def _share(policy: sections.Policy) -> float | None:
    """The share of decisions at which a policy asks; None where nobody knows before the run."""
    known = policy.request.known_share()
    return None if known is None else min(known, policy.budget.ratio)
