"""What may be wrong with the sizes of a model, whichever section it stands in: what, and how to mend it."""


def undivided(section: str, heads: int, dim: int) -> str | None:
    """Of attention heads that do not divide the width of their section's model; None where they do."""
    if dim % heads == 0:
        return None
    return f"must divide {section}.dim, but {dim} is not a multiple of {heads}; change either"


def unhalved(max_length: int) -> str | None:
    """Of windows that cannot be halved; None of those that can."""
    if max_length % 2 == 0:
        return None
    return f"must be even, since windows move by half of it; set {max_length + 1}, not {max_length}"
