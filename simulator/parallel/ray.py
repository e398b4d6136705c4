"""A connection to Ray: a local one that is started here, or a cluster's. An optional extra."""

import os
import socket
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fleetrec.models.runtime.errors import InputError

_ANSWERS_WITHIN_S = 3.0
_QUIET = {"RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def check_ray(address: str | None) -> None:
    """InputError where Ray is missing, or does not answer at `address` (host:port, ray://host:port or auto)."""
    if find_spec("ray") is None:
        raise InputError("--engine ray: Ray is not installed; pip install .[ray]")
    if address is not None:
        _check_answers(address)


def connect(address: str | None, workers: int) -> Any:
    """The module `ray`, connected to the cluster at `address`, or to one started here with `workers` CPUs."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    ray: Any = import_module("ray")
    here = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", namespace="fleetrec", **here)
    except Exception as error:  # Ray raises whatever its parts raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"--ray-address {address}: Ray cannot be reached: {reason}") from error
    return ray


def _check_answers(address: str) -> None:
    """Ray itself would wait for minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--ray-address {address}: expected host:port, ray://host:port or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"--ray-address {address}: nothing answers there ({reason}); is the cluster up?") from None
