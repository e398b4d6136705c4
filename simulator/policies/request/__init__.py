"""Request policies: when a device asks the cloud for a new candidate list."""
