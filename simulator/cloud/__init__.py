"""The cloud: catalogue of models and GPUs, their timing, and the nodes that serve requests."""
