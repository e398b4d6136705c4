"""In which currency money is told to people: US dollars, or that of `tariffs.currency`. Files hold US dollars."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fleetrec.simulator.scenario.sections import Currency

_USD = Currency()
_TOLD: ContextVar[Currency] = ContextVar("currency", default=_USD)


@contextmanager
def told_in(currency: Currency) -> Iterator[None]:
    """Within it, texts, tables and figures tell money in this currency."""
    token = _TOLD.set(currency)
    try:
        yield
    finally:
        _TOLD.reset(token)


def currency() -> Currency:
    """In which money is told here."""
    return _TOLD.get()
