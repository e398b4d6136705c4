"""Numbers of things in words."""


def counted(number: float, thing: str, things: str | None = None) -> str:
    """A number of things: 1 replica, 2,000 replicas; `things` where the plural is not the singular and an s."""
    return f"{number:,.0f} {thing if number == 1 else things or thing + 's'}"
