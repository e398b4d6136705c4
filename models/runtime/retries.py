"""How long a client waits before it asks a server again that was busy."""

LONGEST_PAUSE_S = 60.0


def pause_s(backoff_s: float, attempt: int, spread: float, after_s: float = 0.0) -> float:
    """Before try `attempt` + 1: `backoff_s` doubled with each try that failed and spread by half of it either way
    (`spread`, uniform in [0, 1)), at least what the server asked for, and at most a minute."""
    return min(max(backoff_s * 2.0**attempt * (0.5 + spread), after_s), LONGEST_PAUSE_S)
