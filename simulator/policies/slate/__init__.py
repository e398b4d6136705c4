"""Slates, one file each; what they are is in simulator/scenario/sections/slate.py."""
