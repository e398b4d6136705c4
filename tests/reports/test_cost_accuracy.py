"""The cost-accuracy plot: the front by hand, labels that are in sight and apart, and what cannot be drawn."""

import json
from pathlib import Path

import matplotlib.text
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.figures import cost_accuracy as module
from fleetrec.reports.figures.comparison import draw_comparison
from fleetrec.reports.figures.cost_accuracy import PolicyPoint, cost_accuracy
from fleetrec.reports.figures.labels import Box, place_labels, spread

BASELINES = {"popular": 0.031, "recent": 0.01, "frequent": 0.02, "markov": 0.0829, "srm": 0.0828}


def point(name: str, cost: float, accuracy: float) -> PolicyPoint:
    return PolicyPoint(name, cost, accuracy, accuracy - 0.004, accuracy + 0.004)


POLICIES = [
    point("never (preloaded list)", 0.0, 0.0601),
    point("random 20%", 0.0113, 0.0722),
    point("every 5th", 0.0112, 0.0715),
    point("inconsistency 20%", 0.0112, 0.0741),
    point("session start", 0.0011, 0.0700),
    point("always", 0.0561, 0.0805),
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, still alive."""
    figures: list[Figure] = []
    save = module.style.save

    def keep(figure: Figure, path: Path) -> Path:
        figures.append(figure)
        return save(figure, path)

    monkeypatch.setattr(module.style, "save", keep)
    return figures


def test_the_front_is_that_of_the_comparison_and_is_drawn_in_no_other_place(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    """Two of the policies are named as the front; by their means, more than these would be on it."""
    names = [POLICIES[0].name, POLICIES[5].name]
    cost_accuracy(POLICIES, {}, tmp_path / "plot.png", "USD", "NDCG@10", front=names)
    cost_accuracy(POLICIES, {}, tmp_path / "none.png", "USD", "NDCG@10")
    steps = [[line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"] for figure in drawn]
    assert [list(line.get_ydata())[:2] for line in steps[0]] == [[0.0601, 0.0805]]
    assert steps[1] == []


def test_a_policys_cost_has_the_interval_that_the_comparison_states(tmp_path: Path, drawn: list[Figure]) -> None:
    points = [PolicyPoint("a", 0.02, 0.1, 0.09, 0.11, 0.015, 0.03), PolicyPoint("b", 0.01, 0.1, 0.09, 0.11)]
    cost_accuracy(points, {}, tmp_path / "plot.png", "USD", "NDCG@10")
    segments = [s for c in drawn[0].axes[0].collections for s in c.get_segments() if s[0][1] == s[1][1]]
    assert [(segment[0][0], segment[1][0]) for segment in segments] == [(0.015, 0.03)]


def boxes(axes: Axes, names: list[str]) -> dict[str, Box]:
    texts = [child for child in axes.get_children() if isinstance(child, matplotlib.text.Text)]
    extents = {text.get_text(): text.get_window_extent() for text in texts}
    return {name: Box(e.x0, e.y0, e.x1, e.y1) for name, e in extents.items() if any(name.startswith(n) for n in names)}


@pytest.mark.parametrize("crowd", [1.0, 0.05], ids=["apart", "crowded"])
def test_labels_lie_inside_the_axes_and_touch_neither_each_other_nor_a_marker(
    tmp_path: Path, drawn: list[Figure], crowd: float
) -> None:
    points = [PolicyPoint(p.name, p.cost * crowd + 0.001 * (1 - crowd), p.accuracy, p.low, p.high) for p in POLICIES]
    cost_accuracy(points, BASELINES, tmp_path / "plot.png", "USD per 1,000 interactions", "NDCG@10")
    axes = drawn[0].axes[0]
    labels = boxes(axes, [p.name for p in points])
    frame = Box(*axes.bbox.extents)
    assert len(labels) == len(points)
    assert all(frame.holds(box) for box in labels.values())
    names = sorted(labels)
    assert all(labels[a].overlap(labels[b]) == 0 for a in names for b in names if a < b)
    pixels = [axes.transData.transform((p.cost, p.accuracy)) for p in points]
    markers = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in pixels]
    assert all(frame.holds(marker) for marker in markers)
    assert all(box.overlap(marker) == 0 for box in labels.values() for marker in markers)


def test_names_of_baselines_are_apart_and_on_the_page_with_those_below_the_axis_named_too(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    cost_accuracy(POLICIES, BASELINES, tmp_path / "plot.png", "USD", "NDCG@10")
    labels = boxes(drawn[0].axes[0], list(BASELINES))
    assert len(labels) == len(BASELINES)
    page = Box(0, 0, 1200, 800)
    assert all(page.holds(box) for box in labels.values())
    names = sorted(labels)
    assert all(labels[a].overlap(labels[b]) == 0 for a in names for b in names if a < b)
    assert any(name.startswith("recent") and "below" in name for name in names)
    assert not any(name.startswith("markov") and "below" in name for name in names)


def test_the_picture_is_1200_by_800_pixels_and_the_same_every_time(tmp_path: Path) -> None:
    first = cost_accuracy(POLICIES, BASELINES, tmp_path / "a.png", "USD", "NDCG@10", footer=["quality of x, cost of y"])
    second = cost_accuracy(
        POLICIES, BASELINES, tmp_path / "b.png", "USD", "NDCG@10", footer=["quality of x, cost of y"]
    )
    assert imread(first).shape[:2] == (800, 1200)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "points",
    [[], [point("free", 0.0, 0.1)], [point("one", 2.0, 0.0)], [point("a", 0.0, 0.1), point("b", 1e-9, 0.1)]],
    ids=["none", "free", "no accuracy", "tiny cost"],
)
def test_few_or_free_policies_still_make_a_picture(tmp_path: Path, points: list[PolicyPoint]) -> None:
    assert (imread(cost_accuracy(points, {}, tmp_path / "plot.png", "USD", "HR@10")) < 0.98).any()


@pytest.mark.parametrize("bad", [PolicyPoint("p", -1.0, 0.1, 0.0, 0.2), PolicyPoint("p", 1.0, float("nan"), 0.0, 0.2)])
def test_a_negative_cost_or_a_missing_accuracy_is_refused_by_name(tmp_path: Path, bad: PolicyPoint) -> None:
    with pytest.raises(InputError, match="policy 'p'"):
        cost_accuracy([bad], {}, tmp_path / "plot.png", "USD", "HR@10")


def test_a_comparison_folder_is_drawn_from_its_json(tmp_path: Path) -> None:
    rows = [{"policy": p.name, "cost": p.cost, "accuracy": p.accuracy, "low": p.low, "high": None} for p in POLICIES]
    comparison = {
        "scenario": "demo",
        "seed": 1,
        "metric": "ndcg@10",
        "cost": "usd_marginal_per_1k_interactions",
        "policies": rows,
        "baselines": {**BASELINES, "unknown": None},
        "headline": "always is the most accurate",
        "notes": [{"key": "quality_and_cost", "text": "quality of item_lm, cost of llama-3.1-8b", "values": {}}],
        "split": {"kind": "global_time", "description": "global_time, cut at 80% of events"},
    }
    (tmp_path / "comparison.json").write_text(json.dumps(comparison), encoding="utf-8")
    path = draw_comparison(tmp_path)
    assert path == tmp_path / "figures" / "cost_accuracy.png"
    assert path.is_file()
    del comparison["policies"]
    (tmp_path / "comparison.json").write_text(json.dumps(comparison), encoding="utf-8")
    with pytest.raises(InputError, match=r"comparison\.json"):
        draw_comparison(tmp_path)


def test_spread_moves_colliding_labels_apart_around_their_mean_and_leaves_the_others() -> None:
    assert spread([10.0, 10.0, 50.0], 4.0, 0.0, 100.0) == [8.0, 12.0, 50.0]
    assert spread([0.0, 0.0], 4.0, 0.0, 100.0) == [0.0, 4.0]
    assert spread([99.0, 98.0], 4.0, 0.0, 100.0) == [100.0, 96.0]
    assert spread([5.0, 5.0, 5.0], 10.0, 0.0, 10.0) == [0.0, 5.0, 10.0]
    assert spread([], 4.0, 0.0, 1.0) == []


def test_a_label_that_fits_nowhere_free_still_lies_inside() -> None:
    inside = Box(0, 0, 50, 20)
    (placed,) = place_labels([(25.0, 10.0)], [(48.0, 15.0)], inside, [])
    assert inside.holds(placed.box)
