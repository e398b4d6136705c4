"""`python -m fleetrec`: the command line."""

from fleetrec.cli import main

main()
