"""The one exception a user's mistake raises: one line that says what is wrong, where, and how to mend it."""


class InputError(Exception):
    """Bad input (scenario, data, flag, artifact). The command line prints it as one line and exits with code 2."""
