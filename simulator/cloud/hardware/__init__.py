"""What a replica is made of: the catalogue of models and GPUs, memory, step times and power."""
