"""What the user types before a command, so that what is advised can be typed as it stands."""

import sys
from pathlib import Path


def program() -> str:
    """`python cli.py` or `python -m fleetrec` where this process was begun so; else `fleetrec`, as installed."""
    begun = Path(sys.argv[0])
    if begun.name == "cli.py":
        return "python cli.py"
    return "python -m fleetrec" if begun.parts[-2:] == ("fleetrec", "__main__.py") else "fleetrec"
