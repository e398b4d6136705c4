"""Fleetrec as it is installed: a wheel, in an environment that does not see the checkout, in a folder of strangers."""

import json
import os
import re
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import fleetrec
from fleetrec import Scenario
from fleetrec.simulator.experiments.sweeps import make_plan, read_sweep
from fleetrec.simulator.results.run_identity import run_id
from tests.simulator.experiments.sweeps.files import SCENARIO

ROOT = Path(__file__).parent.parent
OWN = """\
import numpy as np


class Mine:
    def candidates(self, histories):
        return [(history[-1] + 1 + np.arange(histories.list_length)) % histories.n_items for history in histories]
"""
TINY = f"""\
{re.sub("candidates: .*", "candidates: {kind: 'mine.py:Mine'}", SCENARIO).replace("epochs: 1", "epochs: 0")}
cloud: {{router: least_kv}}
"""
"""without a training, transformers and the compiler, whose loading takes seconds in each process"""
REGIONS = "regions: [{name: north, share: 0.5}, {name: south, share: 0.5}]\n"
TWO = """
from pathlib import Path

from fleetrec import Scenario, simulate
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.experiments.sweeps import make_plan, read_sweep, run_sweep
from fleetrec.simulator.experiments.sweeps.local import LocalProcesses
from fleetrec.simulator.regions.executors import LocalShards

if __name__ == "__main__":
    store = ArtifactStore()
    simulate(Scenario.load("regional.yaml"), "regional", store=store, executor=LocalShards(1))
    plan = make_plan(read_sweep(Path("sweep.yaml")))
    run_sweep(plan, Path("sweep"), LocalProcesses(1), NullProgress(), print)
"""
"""a run in regions and a sweep, each on a worker process, both without figures"""
SWEEP = "name: tiny_sweep\nbase: tiny.yaml\naxes: {policy.request: [never, always]}\n"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline by way of a source archive, from a copy of the tree: nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("source") / "fleetrec"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info", "runs", "docs", "tests", "benchmarks")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    sdist = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
    subprocess.run([sys.executable, "-c", sdist], cwd=copy, check=True, stdout=subprocess.DEVNULL, timeout=120)
    (source,) = (copy / "dist").iterdir()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*command, str(copy / "wheel"), str(source)], check=True, timeout=120)
    (built,) = (copy / "wheel").iterdir()
    return built


class Installed:
    """An environment that holds the wheel and sees this one's libraries, and a folder that is none of Fleetrec's."""

    def __init__(self, wheel: Path, root: Path):
        self.python = root / "venv" / "bin" / "python"
        venv.create(root / "venv", with_pip=False)
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-index"]
        subprocess.run([*command, "--no-deps", "--no-compile", str(wheel)], check=True, timeout=120)
        (packages,) = (root / "venv" / "lib").glob("python*/site-packages")
        (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
        self.packages = packages
        self.folder = root / "elsewhere"
        for name in ("models", "reports", "simulator", "commands"):
            (self.folder / name).mkdir(parents=True)
            (self.folder / name / "__init__.py").write_text("raise RuntimeError('a stranger was imported')\n")
        self._environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._environment["FLEETREC_CACHE"] = str(root / "cache")

    def run(self, *command: str | Path) -> str:
        """What a command of the environment prints; it must end well."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fleetrec(self, *arguments: str | Path) -> str:
        """The command, begun so that Python looks into the folder of strangers first."""
        return self.run(self.python, "-m", "fleetrec", *arguments)


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("installed"))


def test_a_wheel_holds_one_package_with_all_that_it_reads(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {name.split("/")[0] for name in names} == {"fleetrec", f"fleetrec-{fleetrec.__version__}.dist-info"}
    assert f"fleetrec-{fleetrec.__version__}.dist-info/licenses/LICENSE" in names
    parts = ("simulator", "models", "reports", "commands", "scenarios", "experiments", "examples")
    found = (
        path
        for part in parts
        for path in (ROOT / part).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    )
    wanted = {f"fleetrec/{path.relative_to(ROOT)}" for path in found}
    assert wanted - names == set()


def test_what_is_installed_knows_its_version_and_copies_its_scenarios_and_sweeps(installed: Installed) -> None:
    command = installed.python.parent / "fleetrec"
    assert installed.run(command, "--version") == f"fleetrec {fleetrec.__version__}\n"
    assert installed.fleetrec("experiments", "copy", "policy_sweep", "copied").count("written to copied/") == 2
    for copied, shipped in (("policy_sweep", "experiments"), ("scenarios/high_churn", "scenarios")):
        name = Path(copied).name
        text = (installed.folder / "copied" / f"{copied}.yaml").read_bytes()
        assert text == (ROOT / shipped / f"{name}.yaml").read_bytes()
    assert "name: high_churn" in installed.run(command, "validate", "copied/scenarios/high_churn.yaml")
    installed.run(command, "examples", "copy", "evenings", "copied")
    assert "evenings.py:Evenings" in installed.fleetrec("validate", "copied/evenings.yaml")
    assert make_plan(read_sweep(installed.folder / "copied" / "policy_sweep.yaml")).n_runs > 1


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (fleetrec.__version__, "Apache-2.0")


@pytest.mark.slow
def test_what_is_installed_simulates_with_workers_among_strangers(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installed.folder)
    for name, text in (
        ("mine.py", OWN),
        ("tiny.yaml", TINY),
        ("regional.yaml", TINY + REGIONS),
        ("sweep.yaml", SWEEP),
        ("two.py", TWO),
    ):
        (installed.folder / name).write_text(text, encoding="utf-8")
    installed.run(installed.python, "two.py")  # Python looks into the script's folder first
    manifest = json.loads((installed.folder / "regional" / "run.json").read_text(encoding="utf-8"))
    assert manifest["state"] == "finished"
    assert manifest["run"] == run_id(Scenario.load(installed.folder / "regional.yaml"))  # the checkout's, with its code
    assert len(list((installed.folder / "sweep").rglob("summary.json"))) == 2
