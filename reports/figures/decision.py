"""The figures of a decision, PNG and SVG, from the decision.json that it wrote."""

from pathlib import Path

from fleetrec.reports.charts.decision_charts import decision_charts
from fleetrec.reports.data.decision import read_decision
from fleetrec.reports.data.run_folder import figure_footer
from fleetrec.reports.figures.chart_pictures import draw_chart
from fleetrec.simulator.core.money import told_in


def draw_decision(folder: Path) -> list[Path]:
    """Draw every figure of a decision to `figures/` of its folder; their paths, that of the tornado first."""
    held = read_decision(folder)
    with told_in(held.currency):
        charts = decision_charts(held.decision)
    footer = [*figure_footer(held.summary), held.decision["value"]["taken"]]
    subtitle = str(held.decision["sentence"])
    return [path for chart in charts for path in draw_chart(chart, folder / "figures", held.name, subtitle, footer)]
