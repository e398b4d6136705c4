"""Before the stream: checks, training, candidate lists, calibration of policies, and cache keys."""
