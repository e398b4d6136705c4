"""A report read back: its elements, its text and its data."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

HOSTILE = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'


class Elements(HTMLParser):
    """Counts elements, collects text outside scripts and attributes that could load something."""

    def __init__(self, page: str):
        super().__init__()
        self.count: dict[str, int] = {}
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.words: list[str] = []
        self._raw = 0
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "action")]
        self.ids |= {value or "" for name, value in attributes if name == "id"}
        self._raw += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.words.append(data)


def data_of(page: Path) -> dict[str, Any]:
    """What the page's script draws."""
    found = re.search(r'id="report-data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    return dict(json.loads(found[1]))


def read(path: Path) -> Elements:
    return Elements(path.read_text(encoding="utf-8"))


def choice_texts(page: Path) -> list[str]:
    """The texts of the choices at the top of a page."""
    boxes = re.findall(r'<div class="choice".*?</div>', page.read_text(encoding="utf-8"), re.DOTALL)
    return [" ".join(Elements(box).text.split()) for box in boxes]
