"""Text of strangers (names in files, words of servers) as it may be printed: nothing in it moves a cursor."""

import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def printable(text: str) -> str:
    """The text with `?` for every control, format, surrogate or unassigned character, and for every line break."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("?" if unicodedata.category(letter) in _UNSEEN else letter for letter in text)
