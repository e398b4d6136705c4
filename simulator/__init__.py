"""The simulated world: what happens to a fleet of devices and its cloud, and what follows from it."""
