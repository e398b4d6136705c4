"""A variant that asked another share than it was told is known by its runs."""

import pandas as pd

from fleetrec.simulator.experiments.comparison.shares import missed_shares


def test_a_variant_is_judged_over_all_its_runs() -> None:
    rows = [
        ("kept, on average", 1000, 0.4, 0.36),
        ("kept, on average", 1000, 0.4, 0.44),
        ("asks always", 1000, 0.4, 1.0),
        ("asks always", 3000, 0.4, 0.96),
        ("was told nothing", 1000, None, 0.9),
    ]
    columns = ["variant", "requests.decisions", "requests.wanted_ratio", "requests.realised_ratio"]
    table = pd.DataFrame(rows, columns=columns)
    assert missed_shares(table) == {"asks always": "asked 97%, told 40%"}
    assert missed_shares(table[["variant"]]) == {}
