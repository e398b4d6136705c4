"""Words on a terminal that may come from a stranger's file: no markup, and nothing that moves the cursor."""

import rich.markup

from fleetrec.models.runtime.printable import printable


def escape(text: str) -> str:
    """The text as Rich shows it letter by letter, line by line."""
    return rich.markup.escape("\n".join(map(printable, text.split("\n"))))
