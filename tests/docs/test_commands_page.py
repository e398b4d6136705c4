"""docs/reference/commands.md says what the commands say."""

from tests.docs.commands_page import PAGE, page


def test_the_page_of_the_command_line_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.docs.commands_page"


def test_every_command_and_option_is_on_the_page() -> None:
    text = page()
    for name in ("## simulate\n", "## data describe\n", "`--resume`", "`--trials &lt;int", "`--shards"):
        assert name.replace("&lt;", "<") in text, name
    assert "None" not in text
