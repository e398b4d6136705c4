"""Admission rules, one file each; what they are is in simulator/scenario/sections/admission.py."""
