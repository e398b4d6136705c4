"""The commands of cli.py by theme: each a few lines over simulator and reports.

Heavy packages are imported by the commands that need them, so that `--help` and `validate` answer at once.
"""
