"""Reports in a real Chromium: nothing fails, nothing is fetched, and what a reader does has its effect."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from reports.html import write_report
from tests.reports.browser import Page, browser, chromium
from tests.reports.fake_experiments import write_experiment
from tests.reports.fake_runs import write_run

pytestmark = pytest.mark.skipif(chromium() is None, reason="there is no Chromium here")

HOSTILE = "</script><script>window.smuggled = 1</script><img src=x onerror='window.smuggled = 1'>"
NAMES = ["never", "random 20%", HOSTILE, "always"]
VISIBLE_ROWS = "[...document.querySelectorAll('#variants tbody tr')].filter((row) => !row.hidden).length"
DOTS = "document.querySelectorAll('#frontier .scatterlayer .point').length"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_experiment(tmp_path_factory.mktemp("sweep"), NAMES))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_run(tmp_path_factory.mktemp("run"), devices=40))


def draw_all(page: Page) -> None:
    """Scroll to every chart, as a reader would; each is drawn when it comes into view."""
    for i in range(int(page.evaluate("document.querySelectorAll('.plot').length"))):
        page.place(".plot", i)
        page.wait(f"document.querySelectorAll('.plot')[{i}].querySelector('.main-svg') !== null")


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, False), (390, True)])
@pytest.mark.parametrize("kind", ["sweep", "run"])
def test_a_report_draws_every_chart_without_an_error_a_request_or_a_page_too_wide(
    page: Page, request: pytest.FixtureRequest, kind: str, width: int, dark: bool
) -> None:
    report: Path = request.getfixturevalue(kind)
    page.look(width, 844, dark)
    page.open(report)
    draw_all(page)
    assert page.problems == []
    assert [address for address in page.requests if not address.startswith("data:")] == [report.resolve().as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("window.smuggled") is None
    pixels = imread(io.BytesIO(page.screenshot()))[..., :3]
    paper = pixels[0, 0]
    assert (paper.max() < 0.2) == dark
    assert (np.abs(pixels - paper) > 0.1).any(axis=-1).mean() > 0.02


def test_pointing_at_a_variant_shows_all_its_figures(page: Page, sweep: Path) -> None:
    page.look(1440, 900)
    page.open(sweep)
    page.hover(*page.place("#frontier .scatterlayer .point", 1))  # the second of kind "never"
    page.wait("document.querySelector('#point h3') !== null")
    assert page.evaluate("document.querySelector('#point h3').textContent") == "always"
    text = page.evaluate("document.getElementById('point').textContent")
    assert "0.1875 (0.1835 to 0.1915)" in text
    assert "policy.fusion.srm_weight1.5" in text
    label = page.evaluate("document.querySelector('#frontier .hoverlayer').textContent")
    assert "USD per 1,000 interactions, provisioned: $0.04 ($0.039 to $0.041)" in label


def test_filters_take_variants_out_of_plot_and_table(page: Page, sweep: Path) -> None:
    page.look(1440, 900)
    page.open(sweep)
    assert (page.evaluate(DOTS), page.evaluate(VISIBLE_ROWS)) == (4, 4)
    page.click("#groups input", 0)  # the request policies of kind "never": the first and the fourth variant
    assert (page.evaluate(DOTS), page.evaluate(VISIBLE_ROWS)) == (2, 2)
    page.click("#groups input", 0)
    page.click("#name-filter")
    page.type("RANDOM")
    assert (page.evaluate(DOTS), page.evaluate(VISIBLE_ROWS)) == (1, 1)


def test_the_axes_can_be_chosen(page: Page, sweep: Path) -> None:
    page.look(1440, 900)
    page.open(sweep)
    title = "document.querySelector('#frontier .ytitle').textContent"
    assert page.evaluate(title) == "NDCG@10"
    page.evaluate("document.getElementById('axis-y').focus()")
    page.press("ArrowDown", 40)
    assert page.evaluate(title) == "USD per 1,000 interactions, provisioned"
    assert page.problems == []


def test_a_click_on_a_head_sorts_the_table_by_number(page: Page, sweep: Path) -> None:
    page.look(1440, 900)
    page.open(sweep)
    column = "[...document.querySelectorAll('#variants tbody tr')].map((row) => Number(row.children[3].dataset.value))"
    page.click("#variants thead button", 3)
    assert page.evaluate(column) == pytest.approx([0.04, 0.03, 0.02, 0.01])
    page.click("#variants thead button", 3)
    assert page.evaluate(column) == pytest.approx([0.01, 0.02, 0.03, 0.04])


def test_a_printed_report_is_light_and_has_every_chart(page: Page, sweep: Path) -> None:
    page.look(1440, 900, dark=True)
    page.open(sweep)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))")
    ink = page.evaluate("getComputedStyle(document.querySelector('#frontier .ytitle')).fill")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert ink == "rgb(26, 26, 26)"
    assert page.pdf().startswith(b"%PDF")


def test_five_hundred_runs_take_two_seconds_of_one_core_at_most_and_eight_megabytes(tmp_path: Path) -> None:
    """CPU time, and the quicker of two browsers, since a machine that runs tests does other things too."""
    names = [f"variant {i}" for i in range(250)]
    report = write_report(write_experiment(tmp_path / "large", names, (1, 2), with_records=0))
    assert report.stat().st_size < 8e6
    busy_s = []
    for profile in ("first", "second"):
        with browser(tmp_path / profile) as page:
            page.look(1440, 900)
            page.open(report)
            assert page.evaluate(DOTS) == 250
            busy_s.append(page.busy_s())
    assert min(busy_s) < 2.0, busy_s
