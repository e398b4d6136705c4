"""Experiments: several runs compared, and the engine's own speed measured."""
