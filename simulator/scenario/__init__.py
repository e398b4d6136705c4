"""Scenario files: what they may hold (`sections`), how they are read, overridden, checked and written back."""

from fleetrec.simulator.scenario.checks import advice, check_scenario
from fleetrec.simulator.scenario.loading import Scenario, load_scenario
from fleetrec.simulator.scenario.writing import json_schema, resolved_yaml

__all__ = ["Scenario", "advice", "check_scenario", "json_schema", "load_scenario", "resolved_yaml"]
