"""A user of one's own who does what a test says. The file imports nothing, so that its source is soon read."""


class Asked:
    """Does what `does` says."""

    def next(self, slate, now):  # type: ignore[no-untyped-def]
        """See `Users.next`."""
        return Asked.does(slate, now)  # type: ignore[attr-defined]
