"""The SRM of a scenario as programs for a phone, and how far their rankings are from the simulator's.

Each program ranks the catalogue for users of the stream just before their first interaction in it, as the simulated
phone does; `ndcg` is of that interaction, which nothing was learnt from.
"""

import csv
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fleetrec.models.export.programs import check_installed, traced, write_programs
from fleetrec.models.export.ranker import Ranker
from fleetrec.models.metrics import accuracy
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.sequences import windows_at
from fleetrec.models.srm.deployment import Deployed, Precision
from fleetrec.simulator.preparation.training import TrainedModels, first_deployed, srm_scores, train_models
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import PreparationInputs

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ABOUT = "export.json"
K = 10
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")
_FILES = {ABOUT, "items.csv", *(f"srm.{kind}.{suffix}" for kind in PRECISIONS for suffix in ("onnx", "pt2"))}
_USERS = 500  # that are ranked for, at most
_SCORES = 2_000_000  # of all of them, at most; a tenth of it where each pair of history and item is computed
_APART = 1e-3  # scores of a float32 program and the simulator's, in units of the largest


def export_srm(
    name: str, inputs: PreparationInputs, folder: Path, overwrite: bool, device: str, progress: Progress
) -> dict[str, Any]:
    """Train (or fetch) the SRM of the scenario `name` and fill `folder`; returns what its `export.json` says.
    InputError for what the user can mend."""
    check_installed()
    torch.set_num_threads(inputs.training.threads)
    with _filled(folder, overwrite) as made:
        trained = train_models(inputs.training, ArtifactStore(), device, progress)
        srm = first_deployed(inputs.item_table, trained)
        _write_items(made / "items.csv", trained, srm)
        reference = _Reference(trained, srm)
        programs = []
        with progress.task("programs", len(PRECISIONS)) as task:
            for precision in PRECISIONS:
                onnx, pt2 = (made / f"srm.{precision}.{suffix}" for suffix in ("onnx", "pt2"))
                with sections.silent(inputs.training.srm):
                    ranker = Ranker(srm.model, precision)
                    write_programs(traced(ranker, srm.model.kind), srm.model.kind, onnx, pt2)
                sizes = {"onnx": onnx.name, "torch": pt2.name, "bytes": onnx.stat().st_size}
                programs.append({"precision": precision} | sizes | reference.differences(onnx, pt2, precision))
                task.advance()
        about = {
            "scenario": name,
            "srm": srm.model.kind,
            "weights": srm.content_hash,
            "length": srm.model.max_length,
            "items": srm.model.n_items,
            "known_items": int(srm.known.sum()),
            "list_length": inputs.lists.length,
            "flops_encode": trained.srm.flops_encode,
            "flops_per_candidate": trained.srm.flops_per_candidate,
            "held_out": {"users": len(reference.users), f"ndcg@{K}": reference.ndcg},
            "programs": programs,
        }
        (made / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return about


class _Reference:
    """What the simulator ranks on held-out interactions."""

    def __init__(self, trained: TrainedModels, srm: Deployed):
        split, log, model = trained.split, trained.split.log, srm.model
        users = np.flatnonzero(split.streamed)
        most = _SCORES if model.has_user_state else _SCORES // 10
        most = min(max(most // model.n_items, 20), _USERS, len(users))
        self.users = users[np.linspace(0, len(users) - 1, most).astype(np.int64)]
        steps = split.history[self.users]
        self._known = np.flatnonzero(srm.known)
        self._targets = trained.histories.item_at(self.users, steps)
        first = np.maximum(split.history - 1, 0)
        scores = srm_scores(trained, first, self.users, srm)
        self._scores = scores.of_catalogue(self.users, steps - 1, np.zeros_like(steps))[:, self._known]
        self._orders = _ordered(self._scores)
        self.ndcg = self._ndcg(self._orders)
        self._windows = windows_at(log.offsets, log.items, self.users, steps - 1, model.max_length)

    def differences(self, onnx: Path, torch_file: Path, precision: Precision) -> dict[str, Any]:
        """How far a program's scores and rankings are from the simulator's. InputError where its float32 scores are
        others, or the two programs disagree."""
        session = import_module("onnxruntime").InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
        rows = self._known + 1
        found = np.stack([session.run(["scores"], {"window": w, "candidates": rows})[0] for w in self._windows])
        program = torch.export.load(torch_file).module()
        with torch.no_grad():
            other = program(torch.from_numpy(self._windows[0]), torch.from_numpy(rows)).numpy()
        size = max(float(np.abs(self._scores).max()), 1e-9)
        apart = float(np.abs(found - self._scores).max()) / size
        if not np.abs(other - found[0]).max() <= _APART * size or (precision == "float32" and not apart <= _APART):
            raise InputError(
                f"srm: as an exported program ({onnx.name}) it scores otherwise than here; its computation must not "
                "hang on the numbers that it is given, nor on chance"
            )
        orders = _ordered(found.astype(np.float64))
        same = [len(np.intersect1d(a[:K], b[:K])) for a, b in zip(orders, self._orders, strict=True)]
        ndcg = self._ndcg(orders)
        return {
            "largest_difference": apart,
            f"same_first_{K}": float(np.mean(same)) / min(K, len(self._known)),
            f"same_order_{K}": float((orders[:, :K] == self._orders[:, :K]).all(axis=1).mean()),
            f"ndcg@{K}": ndcg,
            f"ndcg@{K}_lost": self.ndcg - ndcg,
        }

    def _ndcg(self, orders: Ints) -> float:
        hit = self._known[orders[:, :K]] == self._targets[:, None]
        return accuracy(np.where(hit.any(axis=1), hit.argmax(axis=1), -1), (K,))[f"ndcg@{K}"]


def _ordered(scores: Floats) -> Ints:
    """Best first, ties by item."""
    return np.argsort(-scores, axis=1, kind="stable")


def _write_items(path: Path, trained: TrainedModels, srm: Deployed) -> None:
    """A row for each row of the program's item table but its first, which is padding."""
    log = trained.split.log
    titles = log.titles or [""] * log.n_items
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "item_id", "title", "known"))
        for code, (item, title) in enumerate(zip(log.item_ids, titles, strict=True)):
            writer.writerow((code + 1, item, title, int(srm.known[code])))


@contextmanager
def _filled(folder: Path, overwrite: bool) -> Iterator[Path]:
    """A folder beside `folder` to fill, which takes its place, or whose files take the place of those in it, at the
    end."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--srm {folder}: a file is there; name a folder")
    _check_free(folder, overwrite)
    made = folder.absolute().with_name(f".{secrets.token_hex(6)}-{folder.name}")
    try:
        made.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"--srm {folder}: no folder can be made there: {error.strerror}; name another") from None
    try:
        yield made
        _check_free(folder, overwrite)  # nobody has filled it meanwhile
        folder.mkdir(exist_ok=True)
        for path in sorted(made.iterdir(), key=lambda path: path.name == ABOUT):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check_free(folder: Path, overwrite: bool) -> None:
    """InputError where files in `folder` would be lost, or stand beside those of an export and are none of its."""
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if present and not overwrite:
        raise InputError(f"--srm {folder}: the folder is not empty; name another, or add --overwrite")
    if present - _FILES:
        raise InputError(f"--srm {folder}: holds files that are not an export's; name a new or an empty folder")
