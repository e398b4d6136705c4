"""The static figures of a folder of runs, PNG and SVG: those of its HTML report."""

from pathlib import Path

from fleetrec.reports.charts.experiment_charts import experiment_charts, frontier_chart, key_charts
from fleetrec.reports.charts.rehearsal_charts import rehearsal_charts
from fleetrec.reports.data.experiment_folder import read_experiment
from fleetrec.reports.data.folder_kind import folder_kind
from fleetrec.reports.data.rehearsal_folder import read_rehearsal
from fleetrec.reports.data.run_folder import figure_footer
from fleetrec.reports.figures.chart_pictures import draw_chart
from fleetrec.reports.figures.run_figures import draw_run
from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.experiments.folders import currency_of
from fleetrec.simulator.experiments.rehearsal.sentences import headline
from fleetrec.simulator.records.run_manifest import edits_told

ALL = slice(None)


def draw_figures(folder: Path, share: slice = ALL) -> list[Path]:
    """Draw every figure of a run, an experiment or a rehearsal to its `figures/`, of the charts of an experiment this
    `share`; InputError where it is none."""
    with edits_told(folder), told_in(currency_of(folder)):
        kind = folder_kind(folder)
        if kind == "rehearsal":
            return draw_rehearsal(folder)
        return draw_run(folder, svg=True) if kind == "run" else draw_experiment(folder, share)


def draw_rehearsal(folder: Path) -> list[Path]:
    """Draw the figures of a rehearsal; their paths."""
    records = read_rehearsal(folder)
    title, subtitle = f"{records.summary['scenario']}, rehearsed", headline(records.summary)
    every = [chart for group in rehearsal_charts(records).values() for chart in group]
    return [path for chart in every for path in draw_chart(chart, folder / "figures", title, subtitle, [])]


def draw_experiment(folder: Path, share: slice = ALL) -> list[Path]:
    """Draw the figures of a sweep, an optimisation or a policy comparison, those of this `share`; their paths."""
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
    shared = [chart for chart in every if chart][share]
    return [path for chart in shared for path in draw_chart(chart, folder / "figures", title, subtitle, footer)]
