"""A scenario file that runs in seconds, its models trained from nothing; notes by their keys."""

from collections.abc import Iterable, Mapping
from typing import Any


def noted(notes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The values of each note of a summary or an answer, by its key."""
    return {note["key"]: note["values"] for note in notes}


SMALL = """
name: small
workload:
  synthetic: {users: 80, items: 120, events_per_user: 50, days: 2}
  split: {kind: global_time, at: 0.6}
fleet: {devices: 60}
srm: {kind: gru4rec, dim: 8, layers: 1, max_length: 10, epochs: 1}
llm:
  candidates: {kind: item_lm, dim: 16, layers: 1, heads: 2, max_length: 20, epochs: 1}
  list_length: 20
  served_as: llama-3.1-8b
policy:
  request: {kind: random, ratio: 0.3}
engine: {threads: 1}
"""
