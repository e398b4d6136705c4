"""Workers on Ray: a local one that is started here, or a cluster's. An optional extra."""

import os
import pickle
import socket
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from fleetrec.models.runtime.cores import available_cores
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.parallel.pool import Lost, Pool, Unread

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


class RayPool(Pool[Any]):
    """Ray actors, one CPU each: on the cluster at `address`, or on a Ray that is started here with `workers` CPUs."""

    def __init__(self, workers: int | None, address: str | None, actor: type):
        """Jobs go, pickled, to the `do(packed, *shared)` of actors, who tell what they cannot read. `workers` None: as
        many as the cluster has CPUs. Raises InputError where Ray is missing or does not answer."""
        check_ray(address)
        super().__init__(workers or (available_cores() if address is None else 0))
        self._address, self._actor = address, actor
        self._jobs: dict[Any, Any] = {}  # of each actor, what stands for the result of its job
        self.shared: tuple[Any, ...] = ()
        """what goes along with every job"""

    def __enter__(self) -> Self:
        self._ray = connect(self._address, self.workers)
        self.workers = self.workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._ray.shutdown()

    def put(self, value: Any) -> Any:
        """Keeps `value` where actors find it; what stands for it."""
        return self._ray.put(value)

    def _start(self) -> Any:
        return self._ray.remote(num_cpus=1, max_restarts=0)(self._actor).remote()

    def _give(self, handle: Any, job: Any) -> None:
        self._jobs[handle] = handle.do.remote(pickle.dumps(job), *self.shared)

    def _wait(self, busy: list[int]) -> int:
        (done, *_), _ = self._ray.wait([self._jobs[self.handles[worker]] for worker in busy], num_returns=1)
        return next(worker for worker in busy if self._jobs[self.handles[worker]] == done)

    def _take(self, handle: Any) -> Any | Lost | Unread:
        try:
            return self._ray.get(self._jobs.pop(handle))
        except self._ray.exceptions.RayError as error:
            if isinstance(getattr(error, "cause", None), InputError):
                return Unread(" ".join(str(error.cause).split()))
            return Lost(" ".join(str(error).split())[:300])

    def _end(self, handle: Any) -> None:
        self._ray.kill(handle)


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
