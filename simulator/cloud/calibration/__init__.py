"""Step times of a server, fitted to its own request log by simulating the log."""

from fleetrec.simulator.cloud.calibration.fitting import Calibration, calibrate
from fleetrec.simulator.cloud.calibration.logs import RequestLog, read_log
from fleetrec.simulator.cloud.calibration.profile import Profile, load_profile, save_profile
from fleetrec.simulator.cloud.calibration.servers import UNKNOWN, Machine, Server, read_server

__all__ = [
    "UNKNOWN",
    "Calibration",
    "Machine",
    "Profile",
    "RequestLog",
    "Server",
    "calibrate",
    "load_profile",
    "read_log",
    "read_server",
    "save_profile",
]
