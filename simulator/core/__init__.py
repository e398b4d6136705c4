"""What everything in simulated time stands on: the clock, keyed randomness, signals and costs."""
