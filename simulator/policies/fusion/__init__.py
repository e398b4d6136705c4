"""Fusion rules: how the LLM's order and the SRM's scores make one slate (LSC4Rec's rules 1 to 5, and others)."""
