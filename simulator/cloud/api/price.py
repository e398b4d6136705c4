"""What a request to a hosted API costs."""

from typing import NamedTuple

from fleetrec.simulator.scenario.sections import ApiPrice

_MILLION = 1e6


class Bill(NamedTuple):
    """Dollars of one request, by what they are for."""

    input: float
    cached_input: float
    output: float
    fee: float

    @property
    def usd(self) -> float:
        """All of it."""
        return self.input + self.cached_input + self.output + self.fee


def bill(price: ApiPrice, prompt_tokens: int, cached_tokens: int, output_tokens: int, batched: bool = False) -> Bill:
    """Of a request with so many tokens, `cached_tokens` of its prompt from the cache; a batch makes tokens cheaper."""
    factor = price.batch.price_factor if batched and price.batch is not None else 1.0
    of_cached = price.input if price.cached_input is None else price.cached_input
    each = factor / _MILLION
    return Bill(
        (prompt_tokens - cached_tokens) * price.input * each,
        cached_tokens * of_cached * each,
        output_tokens * price.output * each,
        price.per_request,
    )
