"""Who takes part: devices, when they are there, their links, and what messages weigh."""
