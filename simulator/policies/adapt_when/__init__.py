"""When a device adapts, one file each kind; what they are is in simulator/scenario/sections/adapt_when.py."""
