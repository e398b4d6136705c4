"""Policies: small values that a scenario names. Request policies and their budget, fusion rules."""
