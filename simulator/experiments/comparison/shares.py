"""Variants whose policy did not ask at the share of decisions that it was told: they are not what their names say."""

import pandas as pd

from fleetrec.simulator.results.summary import off_share

_OF_REQUESTS = ("decisions", "wanted_ratio", "realised_ratio")


def missed_shares(results: pd.DataFrame) -> dict[str, str]:
    """By variant "asked 107%, told 40%", over all its runs; `results`: results.parquet. Runs of before shares were told
    have none."""
    columns = {name: f"requests.{name}" for name in _OF_REQUESTS}
    if not set(columns.values()) <= set(results.columns):
        return {}
    found = {}
    for variant, runs in results.groupby("variant", sort=False):
        decisions, told = runs[columns["decisions"]].sum(), runs[columns["wanted_ratio"]]
        if told.isna().any() or not decisions:
            continue
        weight = runs[columns["decisions"]] / decisions
        figures: dict[str, float] = {"decisions": float(decisions)}
        figures |= {name: float((weight * runs[columns[name]]).sum()) for name in _OF_REQUESTS[1:]}
        off = off_share(figures)
        if off is not None:
            found[str(variant)] = off
    return found
