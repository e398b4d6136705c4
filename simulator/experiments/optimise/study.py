"""The folder of an optimisation, opened to search in: new, or left by a search like this one; its trials in study.db.

The study is Optuna's, so that its own tools can read it; the runs do not depend on it and outlive it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import yaml
from optuna.trial import FrozenTrial

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.disk import is_disk_full
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.folders import ExperimentFolder
from fleetrec.simulator.experiments.optimise.problem import Problem
from fleetrec.simulator.experiments.optimise.sampling import is_ours
from fleetrec.simulator.experiments.sweeps.sweep_folder import check_versions, held_whole
from fleetrec.simulator.records.run_manifest import remove_half_written

STUDY = "study.db"
_NAME = "optimisation"
_TERMS = "terms"


class Trials:
    """The finished trials in a study.db; InputError where it cannot be read, is damaged, or is of another search."""

    def __init__(self, path: Path, problem: Problem):
        self._path = path
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._damage_told():
            self._study = optuna.create_study(
                storage=_storage(path.resolve()),
                study_name=_NAME,
                load_if_exists=True,
                directions=list(problem.goals.directions.values()),
            )
            terms = self._study.user_attrs.get(_TERMS)
            self.recorded = self._study.get_trials()
            if terms is None:
                self._study.set_user_attr(_TERMS, problem.terms)
        if not all(map(is_ours, self.recorded)):
            raise self._damaged("it holds trials that no search of this kind wrote")
        if terms is not None and terms != problem.terms:
            self._refuse(terms, problem)

    def add(self, trial: FrozenTrial) -> None:
        """Keep a finished trial."""
        with self._damage_told():
            self._study.add_trial(trial)

    def _refuse(self, terms: dict[str, object], problem: Problem) -> None:
        changed = [name for name, value in problem.terms.items() if terms.get(name) != value]
        folder = self._path.parent
        if changed == ["versions"] and isinstance(old := terms.get("versions"), dict):
            check_versions(folder, old, problem.terms["versions"])
        raise InputError(
            f"--resume: {folder} was searched with other terms ({', '.join(changed)}); undo the change, or name "
            "another folder"
        )

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever the database library raises for a file that is not its own
            if is_disk_full(error):
                raise
            raise self._damaged(" ".join(str(error).split())[:120]) from error

    def _damaged(self, reason: str) -> InputError:
        return InputError(
            f"{self._path}: cannot be used ({reason}); remove this file, then --resume takes up the finished runs"
        )


def _storage(path: Path) -> optuna.storages.RDBStorage:
    """The database in a file whose path may hold what a URL would take for its own, such as `?` and `%`."""
    return optuna.storages.RDBStorage("sqlite:///study.db", {"creator": lambda: sqlite3.connect(path)})


@contextmanager
def opened(problem: Problem, out: Path, resume: bool) -> Iterator[tuple[ExperimentFolder, Trials]]:
    """The folder, held as `held_whole` does, and its trials.

    Raises InputError also for a folder that holds something else, another experiment or another search, or was made by
    other versions; and for one with this search unless `resume`.
    """
    folder = ExperimentFolder(out)
    with held_whole(out) as present:
        if present:
            _check_continues(folder, problem, present, resume)
        remove_half_written(out)
        trials = Trials(out / STUDY, problem)
        for name, content in (("experiment.yaml", problem.given()), ("space.yaml", problem.space.as_file())):
            with atomic_path(out / name) as temporary:
                temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        yield folder, trials


def _check_continues(folder: ExperimentFolder, problem: Problem, present: set[str], resume: bool) -> None:
    out = folder.path
    if not present & {STUDY, "experiment.json"}:
        raise InputError(f"--out {out}: holds files that are not an optimisation's; name a new or an empty folder")
    if "experiment.json" not in present:  # it ended before its first run
        return
    old = folder.manifest()
    if (old.kind, old.name) != ("optimisation", problem.name):
        raise InputError(f"--out {out}: holds another experiment, the {old.kind} {old.name!r}; name another folder")
    if not resume:
        raise InputError(f"--out {out}: holds this search already; add --resume to go on with it, or name another")
    if STUDY not in present:
        if old.base_hash != problem.terms["scenario"]:
            raise InputError(f"--resume: the runs in {out} are of another scenario; name another folder")
        check_versions(out, old.versions, problem.terms["versions"])
