"""The static figures of a folder of runs, PNG and SVG: those of its HTML report."""

from pathlib import Path

from fleetrec.reports.charts.experiment_charts import experiment_charts, frontier_chart, key_charts
from fleetrec.reports.data.experiment_folder import read_experiment
from fleetrec.reports.data.folder_kind import folder_kind
from fleetrec.reports.data.run_folder import figure_footer
from fleetrec.reports.figures.chart_pictures import draw_chart
from fleetrec.reports.figures.run_figures import draw_run
from fleetrec.simulator.records.run_manifest import edits_told


def draw_figures(folder: Path) -> list[Path]:
    """Draw every figure of a run or an experiment to `figures/` of its folder; InputError where it is neither."""
    with edits_told(folder):
        return draw_run(folder, svg=True) if folder_kind(folder) == "run" else draw_experiment(folder)


def draw_experiment(folder: Path) -> list[Path]:
    """Draw the figures of a sweep, an optimisation or a policy comparison; their paths."""
    experiment = read_experiment(folder)
    drawn = experiment_charts(experiment)
    every = [
        frontier_chart(experiment),
        drawn.sensitivity,
        *key_charts(experiment),
        *drawn.time,
        drawn.latency,
        drawn.cost,
    ]
    subtitle = str((experiment.answer or {}).get("headline") or experiment.manifest.question)
    footer = figure_footer(experiment.summary)
    title = experiment.manifest.name
    return [path for chart in every if chart for path in draw_chart(chart, folder / "figures", title, subtitle, footer)]
