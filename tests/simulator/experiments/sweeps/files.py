"""A tiny scenario that trains in a second, and sweep files over it."""

from pathlib import Path

SCENARIO = """\
name: tiny
workload:
  synthetic: {users: 40, items: 100, events_per_user: 25, days: 2}
  split: {kind: per_user, last: 8, min_history: 5}
  arrivals: {kind: poisson, per_day: 200}
fleet: {devices: 30}
srm: {kind: gru4rec, dim: 8, layers: 1, max_length: 10, epochs: 1}
llm:
  candidates: {kind: item_lm, dim: 8, layers: 1, heads: 1, max_length: 10, epochs: 1}
  list_length: 20
  served_as: llama-3.1-8b
policy: {request: {kind: random, ratio: 0.4}}
"""

SWEEP = """\
name: tiny_sweep
base: tiny.yaml
variants:
  - {name: never, set: {policy.request: never}}
  - name: random
    set: {policy.request: random}
    axes: {policy.request.ratio: [0.2, 0.6]}
seeds: [1, 2]
baseline: never
"""


def write_files(folder: Path, sweep: str = SWEEP) -> Path:
    """The sweep file, beside its base scenario."""
    (folder / "tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    (folder / "sweep.yaml").write_text(sweep, encoding="utf-8")
    return folder / "sweep.yaml"


def results_of(folder: Path) -> dict[str, bytes]:
    """Every file of a sweep by its path, without wall-clock figures."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(("timing.", ".lock"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}
