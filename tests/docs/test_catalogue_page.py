"""docs/reference/catalogue.md says what the catalogue says."""

from tests.docs.catalogue_page import PAGE, page


def test_the_page_of_the_catalogue_is_what_the_catalogue_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.docs.catalogue_page"
