"""Command that writes the trained SRM for a phone."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fleetrec.commands.common import (
    AsJson,
    OnDevice,
    Overrides,
    Overwrite,
    Quiet,
    ScenarioFile,
    Seed,
    print_json,
    progress_bars,
    say,
    user_errors,
)

app = typer.Typer()


@app.command()
def export(
    scenario: ScenarioFile,
    srm: Annotated[Path, typer.Option("--srm", metavar="DIR", help="folder for the SRM's programs and item table")],
    seed: Seed = None,
    overrides: Overrides = None,
    device: OnDevice = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write the trained SRM for a phone: ONNX and torch.export, in float32, float16 and int8, with its item table."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.simulator.preparation.input_checks import check_inputs
        from fleetrec.simulator.preparation.phone_programs import export_srm
        from fleetrec.simulator.results.run_folder import usable_device
        from fleetrec.simulator.scenario.file_checks import check_files
        from fleetrec.simulator.scenario.inputs import PreparationInputs

        loaded = Scenario.load(scenario, overrides or [], seed, check=check_inputs)
        check_files(loaded)
        inputs, on = PreparationInputs.of(loaded), usable_device(device)
        about = export_srm(loaded.name, inputs, srm, overwrite, on, progress_bars(quiet))
        if as_json:
            print_json(about)
        elif not quiet:
            for program in about["programs"]:
                say(_line(program, about["held_out"]))
        if not quiet:
            say(f"written to {srm}", aside=as_json)


def _line(program: dict[str, Any], simulated: dict[str, Any]) -> str:
    """What a program is, and what its numbers change."""
    return (
        f"{program['onnx']}: {program['bytes']:,} bytes; of the simulator's first 10 it has "
        f"{program['same_first_10']:.1%}, all in their order for {program['same_order_10']:.1%} of users; "
        f"NDCG@10 {program['ndcg@10']:.4f}, the simulator's {simulated['ndcg@10']:.4f} ({simulated['users']} users)"
    )
