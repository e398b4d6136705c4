"""Draws the sheets of `reports.figures.background_drawing`, in whichever process imports this."""

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.run_folder import read_run
from fleetrec.reports.figures.background_drawing import Sheet
from fleetrec.reports.figures.run_figures import draw_run
from fleetrec.reports.html.run_page import write_run_page
from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.experiments.folders import currency_of
from fleetrec.simulator.records.run_manifest import edits_told


class Drawer:
    """Draws what it is given."""

    def do(self, sheet: Sheet) -> InputError | OSError | str:
        """What went wrong in a way that a user can mend; an empty text where nothing did."""
        try:
            with told_in(currency_of(sheet.folder)):
                run = read_run(sheet.folder)
                draw_run(run, names=sheet.figures)
                if sheet.page:
                    with edits_told(sheet.folder):
                        write_run_page(run)
        except (InputError, OSError) as error:
            return error
        return ""
