"""Update schedules, one file each; what they are is in simulator/scenario/sections/update.py."""
