"""The engine's own speed: cases, the process that measures them, and two runs side by side."""
