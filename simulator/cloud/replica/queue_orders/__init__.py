"""Queue orders, one file each; what they are is in simulator/scenario/sections/queue_order.py."""
