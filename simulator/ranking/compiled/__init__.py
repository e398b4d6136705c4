"""User states of small models in machine code: the numbers that PyTorch's networks give, to the last bit."""
