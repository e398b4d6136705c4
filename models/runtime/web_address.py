"""Web addresses that a user gives: checked whole before anything is sent there."""

from urllib.parse import urlsplit

_LONGEST = 2000


def address_problem(url: str) -> str | None:
    """What is wrong with an http or https address, in a few words; None where nothing is."""
    if len(url) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        return "holds a space, a backslash, or letters that an address cannot hold; write them as %20 and the like"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"is no address ({error})"
    if parts.scheme not in ("http", "https") or not host:
        return "is no address; give one like https://host/v1"
    if port == 0:
        return "has port 0, where nobody can be"
    if parts.username is not None or parts.query or parts.fragment:
        return "holds a user, a query or a fragment; give one like https://host/v1"
    labels = host.removesuffix(".").split(".")
    if ":" not in host and not all(0 < len(label) < 64 for label in labels):
        return "has a host with an empty part, or one of more than 63 letters"
    return None
