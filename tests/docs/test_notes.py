"""The page of notes names every key that the code gives a note, and no other."""

import ast
import re

from fleetrec.simulator.core import notes
from tests.docs.pages import ROOT


def test_the_page_of_notes_has_every_key() -> None:
    text = (ROOT / "docs" / "reference" / "notes.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", text, re.M) + re.findall(r"`\w+`(?= \()", text)
    told = {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}
    named, known = set(), set()
    for path in (ROOT / "simulator").rglob("*.py"):
        if "assumptions" in path.parts:
            continue  # rows of what an answer hangs on have a page of their own
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                known.add(node.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("note", "Note"):
                key = node.args[0]
                named.add(key.value if isinstance(key, ast.Constant) else getattr(notes, getattr(key, "id", ""), None))
    assert named - {None} <= told
    assert told <= known
