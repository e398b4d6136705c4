"""What happens in simulated time: devices, requests, the cloud that answers them, and learning while the run goes."""
