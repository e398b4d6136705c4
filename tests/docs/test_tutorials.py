"""The tutorials, block by block as a reader follows them, in an empty folder."""

import re
from pathlib import Path
from typing import Any

import pytest

from fleetrec import cli
from tests.docs.pages import ROOT, blocks_of, command_lines

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
DRAWN = "own_log"
"""the page whose runs are drawn as for a reader; those of the others have the same figures"""


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if page.stem != DRAWN:
        request.getfixturevalue("undrawn")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    program: dict[str, Any] = {"__name__": "tutorial"}
    printed = ""
    for block in blocks_of(page):
        if block.language == "text":
            assert shape(printed) == shape(block.text), f"{block}: it prints\n{printed}"
        elif block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, str(block), "exec"), program)
        else:
            assert block.language == "sh", block
            for words in command_lines(block):
                assert words[0] == "fleetrec"
                monkeypatch.setattr("sys.argv", words)
                with pytest.raises(SystemExit) as ended:
                    cli.main()
                assert ended.value.code == 0, f"{block}: {words}"
        printed = capsys.readouterr().out


def shape(text: str) -> list[str]:
    """The words of an output without its figures, which depend on the processor's last bits."""
    return re.sub(r"[\d.,]*\d", "#", text).split()
