"""A hosted API in simulated time: what it costs, what it refuses, how long it takes, and when it is not there."""
