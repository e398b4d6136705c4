"""Whether phones should call the cloud, by which policy, for what a month, and what that answer hangs on."""
