"""Before a load is sent: whose address it is, and whether a model of that name answers there with a stream."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.printable import printable
from fleetrec.models.runtime.web_address import address_problem
from fleetrec.simulator.experiments.rehearsal.sender import Due, Sent, Server, ask

_REFUSED_PARAMETERS = frozenset([400, 406, 415, 422])
_NO_KEY = frozenset([401, 403])
_LISTING_S = 5.0
_MOST_LISTED = 5


def check_address(url: str) -> None:
    """InputError for a `--url` that is none."""
    problem = address_problem(url)
    if problem is not None:
        raise InputError(f"--url {printable(url)[:80]!r}: {problem}")


def is_own(url: str) -> bool:
    """Whether all that the host of an address stands for are addresses of this machine; not where it is unknown."""
    host = urlsplit(url).hostname or ""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(map(_is_here, found))


def _is_here(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_loopback:
        return True
    if ip.is_unspecified or ip.is_multicast:
        return False
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))  # nothing is sent: only an address of this machine can be bound
        except OSError:
            return False
    return True


def check_answers(server: Server, request: Due, key_variable: str | None) -> Sent:
    """What a first request comes to: one as long as `request`, whose words are turned round, so that no server has read
    how it begins when the load comes. Parameters that the model does not take are left out from then on.

    InputError where nobody answers, something else does than the model, or it does not stream.
    """
    turned = replace(request, due_s=0.0, prompt=" ".join(reversed(request.prompt.split())))
    while True:
        sent = ask(server, turned)
        body = server.parameters.body(server.model, "")
        if sent.status in _REFUSED_PARAMETERS and server.parameters.leave_out(sent.why, body):
            continue
        break
    if sent.answer is None:
        raise InputError(f"--url {server.address}: {_told(server, sent, key_variable)}")
    if not _same(server.model, sent.answer.model):
        raise InputError(
            f"--model {server.model}: {server.address} answers as {server.clean(sent.answer.model)!r}, which is "
            "another model; give its name, or another --url"
        )
    return sent


def _told(server: Server, sent: Sent, key_variable: str | None) -> str:
    """What went wrong with the first request and how to mend it."""
    if sent.end == "refused":
        if sent.status in _NO_KEY:
            name = "--key-variable with the environment variable that holds its key"
            mend = f"check the key in {printable(key_variable)}" if key_variable else f"give {name}"
        else:
            served = asyncio.run(_served(server))
            listed = f"it serves {', '.join(served[:_MOST_LISTED])}: " if served else ""
            mend = f"{listed}check --url and --model"
        return f"refuses with {sent.why}; {mend}"
    mends = {
        "unreachable": "start the server, or mend --url",
        "timed_out": "see whether the server hangs, or raise --timeout",
        "broken_off": "see the server's own log",
    }
    return f"{sent.why}; {mends.get(sent.end, 'check --url')}"


async def _served(server: Server) -> Sequence[str]:
    """The models that a server lists; none where it does not say."""
    timeout = aiohttp.ClientTimeout(total=_LISTING_S)
    with suppress(aiohttp.ClientError, OSError, ValueError, TimeoutError, TypeError, KeyError):
        async with aiohttp.ClientSession(timeout=timeout) as session:
            url = server.url.rstrip("/") + "/models"
            async with session.get(url, headers=server.key.header(), allow_redirects=False) as response:
                held = await response.json(content_type=None)
                return [server.clean(one["id"]) for one in held["data"]]
    return []


def _same(asked: str, said: str) -> bool:
    """Whether two names may be of one model: revisions, tags, dates and folders aside."""

    def plain(name: str) -> str:
        return name.lower().partition("@")[0].removesuffix(":latest").rstrip("/")

    one, other = plain(asked), plain(said)
    return not said or one == other or one.rpartition("/")[2] == other.rpartition("/")[2] or other.startswith(f"{one}-")
