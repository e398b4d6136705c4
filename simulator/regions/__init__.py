"""Runs in regions: parts of a fleet with clouds of their own, which meet at barriers only (docs/regions.md)."""

from simulator.regions.crew import Crew
from simulator.regions.running import simulate_regions

__all__ = ["Crew", "simulate_regions"]
