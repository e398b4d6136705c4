"""The figures of the study's page."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from results import replays, sweeps

from fleetrec.reports.figures import style

_WIDTH_PX, _ROW_PX, _TEXT_PX = 1200, 360, 120
_PANELS_A_ROW = 3
_BUDGETS = ("0.05", "0.2", "0.5")
_COLOURS = {
    "random": style.GREY,
    "staleness": style.SKY,
    "inconsistency": style.VERMILION,
    "entropy": style.ORANGE,
    "margin": style.PURPLE,
    "learned": style.BLUE,
    "oracle_dp": style.GREEN,
    "LLM order": style.VERMILION,
    "SRM re-rank": style.SKY,
    "fused, weight 1": style.BLUE,
    "joined, weight 1": style.GREEN,
    "cloud SRM": style.PURPLE,
}
Lines = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def draw(root: Path, names: list[str], folder: Path, without: Collection[str] = ()) -> None:
    """Draw what is finished into `folder`, but for the figures of the tables `without`."""
    by_age = {}
    for data, found in replays(root, "ages", names).items():
        lines = {}
        for rule, ages in found["by_rule"].items():
            if rule in _COLOURS:
                lines[rule] = ([float(age) for age in ages], [row["ndcg@10"] for row in ages.values()])
        by_age[data] = (lines, found["baselines"]["srm"]["ndcg@10"])
    if "ages" not in without:
        _panels(
            by_age, folder / "lsc4rec_ages", "What a list is worth by its age", "interactions the list has not seen"
        )
    at_no_latency = {}
    for data, found in replays(root, "replay", names).items():
        budgets = [float(budget) for budget in found]
        at_no_latency[data] = (
            {p: (budgets, [found[b][p]["ndcg@10"] for b in found]) for p in _COLOURS if p in found["0.2"]},
            None,
        )
    if "replay" not in without:
        _panels(at_no_latency, folder / "lsc4rec_requests", "When to ask, at no latency", "requests a decision")
    background = {}
    for data, sweep in sweeps(root, "requests", names).items():
        lines = {}
        for policy in _COLOURS:
            wanted = [f"{policy} ratio={b}" for b in _BUDGETS]
            if all(name in sweep.variants for name in wanted):
                ratios = [sweep.asked(name) for name in wanted]
                lines[policy] = (ratios, [sweep.ndcg(name) for name in wanted])
        background[data] = (lines, sweep.figure(sweep.variants[0], "baselines.srm.ndcg@10"))
    if "requests" not in without:
        _panels(background, folder / "lsc4rec_background", "When to ask, in background", "share of decisions")


def _panels(found: Mapping[str, tuple[Lines, float | None]], path: Path, title: str, x_label: str) -> None:
    """One panel a data set; a dotted line is the SRM alone over the catalogue, at no delay."""
    if not found:
        return
    with style.house_style():
        rows = -(-len(found) // _PANELS_A_ROW)
        figure = style.new_figure(_WIDTH_PX, _TEXT_PX + rows * _ROW_PX)
        dotted = "dotted: the small model alone over the catalogue, at no delay"
        some = any(level is not None and level == level for _, level in found.values())
        style.frame(
            figure,
            title,
            "NDCG@10 of the next item" + (f"; {dotted}" if some else ""),
            ["logged choices do not react to slates"],
        )
        panels: list[Axes] = figure.subplots(rows, min(len(found), _PANELS_A_ROW), squeeze=False).ravel().tolist()
        for unused in panels[len(found) :]:
            unused.set_axis_off()
        for axes, (data, (lines, level)) in zip(panels, found.items(), strict=False):
            for name, (x, y) in lines.items():
                axes.plot(x, y, color=_COLOURS[name], marker="o", markersize=4, label=name)
            if level is not None and level == level:
                axes.axhline(level, color=style.BLACK, linestyle=":", linewidth=1.5)
            axes.set_title(data)
            axes.set_xlabel(x_label)
        for axes in panels[::_PANELS_A_ROW]:
            axes.set_ylabel("NDCG@10")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
        style.save(figure, path.with_suffix(".png"))
