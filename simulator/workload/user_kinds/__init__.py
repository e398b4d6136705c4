"""The kinds of users that a scenario may have, one file each."""
