"""Step times of a server, fitted to its own request log by simulating the log."""

from fleetrec.simulator.cloud.calibration.fitting import Calibration, calibrate
from fleetrec.simulator.cloud.calibration.logs import RequestLog, read_log
from fleetrec.simulator.cloud.calibration.profile import Profile, load_profile, save_profile
from fleetrec.simulator.cloud.calibration.servers import Server, read_server

__all__ = [
    "Calibration",
    "Profile",
    "RequestLog",
    "Server",
    "calibrate",
    "load_profile",
    "read_log",
    "read_server",
    "save_profile",
]
