"""Files of measured set-ups, a row each: `measured_serving.csv` (requests at a fixed concurrency) and
`beam_serving.csv` (wide beams).

A row that cannot be served gets a note in place of figures. Rows that ask the same are simulated once.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.cloud.beam_prediction import NOT_STATED, BeamLoad, Predicted, beam_prediction, model_of
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_errors import expected_error
from fleetrec.simulator.cloud.hardware.engine_profile import EngineProfile
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.layout import Layout, layout_named
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.power import ReplicaPower
from fleetrec.simulator.cloud.prediction.setup import (
    Formats,
    Prediction,
    Setup,
    check_layout,
    kv_cache_named,
    predict,
    protocol_of,
    served_on,
    weights_named,
)
from fleetrec.simulator.core.costs import rent_cost
from fleetrec.simulator.scenario.sections import EngineName, Precision, Tariffs

FIGURES = ("predicted_ttft_ms", "predicted_tpot_ms", "predicted_ms", "predicted_requests_per_s", "note")
SERVING = ("model", "gpu", "engine", "prompt_tokens", "output_tokens", "concurrency")
BEAMS = ("model", "gpu", "engine", "prompt_tokens", "output_tokens", "beams", "batch", "concurrency")
ENGINES: dict[str, EngineName] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "trtllm": "tensorrt_llm",
    "tensorrt_llm": "tensorrt_llm",
    "tensorrt-llm": "tensorrt_llm",
    "generative_recommender": "generative_recommender",
}
_MOST = 10**7
"""of a length, or of anything that is counted in a row"""

Row = Mapping[str, str]


def engine_named(name: str, key: str = "engine") -> EngineName:
    """The engine that files call so."""
    found = ENGINES.get(name.lower())
    if found is None:
        raise InputError(f"{key}: no engine {name!r}; known: {', '.join(ENGINES)}")
    return found


def gpu_named(name: str) -> str:
    """The catalogue's name of a GPU that files call so: h100_sxm is its h100, rtx_5090 its rtx5090."""
    gpus = default_catalogue().gpus
    plain = name.lower().removesuffix("_sxm")
    forms = (name, plain, plain.replace("_", "-"), plain.replace("_", ""))
    return next((form for form in forms if form in gpus), name)


def setup_of(row: Row) -> Setup:
    """The set-up of a row of measured servings. InputError where a value is wrong."""
    counts = _Counts(row)
    weights = row.get("weights") or row.get("precision", "")
    return Setup(
        row["model"] if row["model"].endswith(".json") else row["model"].lower(),
        gpu_named(row["gpu"]),
        engine_named(row["engine"]),
        counts.of("prompt_tokens"),
        counts.of("output_tokens"),
        counts.of("concurrency"),
        counts.layout(),
        Formats(weights, row.get("moe_weights") or weights, row.get("kv_cache", "")),
        _share(row, "length_spread"),
        counts.of("max_batched_tokens", 0, least=0) or None,
        row.get("engine_version") or "",
    )


@dataclass(frozen=True)
class _Counts:
    row: Row

    def of(self, column: str, default: int | None = None, least: int = 1) -> int:
        """A whole number of a column; the default where it is absent or empty."""
        text = (self.row.get(column) or "").strip()
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (least <= value <= _MOST and value == int(value)):
            raise InputError(f"{column}: {text!r} is no whole number from {least} to {_MOST:,}; correct it")
        return int(value)

    def layout(self) -> Layout:
        """How the GPUs divide the model: as options say it, with `ep`, or as files do. There as many attention groups
        as a group has GPUs say that the GPUs of one node are their own groups."""
        tp, pp = self.of("tp", 1), self.of("pp", 1)
        if "ep" in self.row:
            ep = self.of("ep")
            return layout_named(tp, pp, None, ep, ep)
        moe_tp, ep = (self.of(column, 1, least=0) or 1 for column in ("moe_tp", "moe_ep"))
        dp = self.of("attention_dp", 0, least=0) or None
        found = layout_named(tp, pp, dp, moe_tp * ep, ep)
        return layout_named(1, pp, tp, moe_tp * ep, ep) if found.attention_data == tp > 1 else found


def _share(row: Row, column: str) -> float | None:
    text = (row.get(column) or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 1.0:
        raise InputError(f"{column}: {text!r} is no share from 0 to below 1; correct it")
    return value


@dataclass
class Predictor:
    """Predicts rows; each set-up once."""

    profiles: Mapping[EngineName, EngineProfile] = field(default_factory=dict)
    """constants in place of an engine's own"""
    _known: dict[Setup, Prediction | str] = field(default_factory=dict)

    def figures(self, row: Row, beams: bool) -> dict[str, str]:
        """The columns that are appended to a row."""
        try:
            found = beam_figures(row) if beams else self._serving(setup_of(row))
        except InputError as error:
            found = {"note": str(error)}
        return {name: found.get(name, "") for name in FIGURES}

    def _serving(self, setup: Setup) -> dict[str, str]:
        if setup not in self._known:
            try:
                self._known[setup] = predict(setup, self.profiles.get(setup.engine))
            except InputError as error:
                self._known[setup] = str(error)
        known = self._known[setup]
        if isinstance(known, str):
            return {"note": known}
        return {
            "predicted_ttft_ms": f"{known.ttft_s * 1e3:.6g}",
            "predicted_tpot_ms": f"{known.tpot_s * 1e3:.6g}",
            "predicted_ms": f"{known.latency_s * 1e3:.6g}",
            "predicted_requests_per_s": f"{known.requests_per_s:.6g}",
        }


@dataclass(frozen=True)
class _Searched:
    """A row of wide beams: what is asked of what, and what comes of it."""

    model: ModelSpec
    gpu: GpuSpec
    layout: Layout
    load: BeamLoad
    offline: bool
    """one batch, where clients are under way otherwise"""
    found: Predicted

    @classmethod
    def of(cls, row: Row, otherwise: str = "") -> "_Searched":
        """`otherwise`: the weights' format where the row states none. InputError where it cannot be served."""
        counts = _Counts(row)
        batch = counts.of("batch", 0, least=0)
        prompt, output, beams = (counts.of(column) for column in ("prompt_tokens", "output_tokens", "beams"))
        load = BeamLoad(prompt, output, beams, batch or counts.of("concurrency"))
        stated = row.get("weights") or row.get("precision") or otherwise
        weights, kv_cache = weights_named(stated) if stated else None, kv_cache_named(row.get("kv_cache", ""))
        model = model_of(row["model"]).served_in(Precision(weights=weights, kv_cache=kv_cache))
        gpu, layout = default_catalogue().gpu(gpu_named(row["gpu"]), "gpu"), counts.layout()
        check_layout(layout, model)
        with served_on(layout):
            found = beam_prediction(ENGINES.get(row["engine"].lower(), row["engine"]), model, gpu, load, layout)
        return cls(model, gpu, layout, load, bool(batch), found)

    @property
    def latency_s(self) -> float:
        """Of the batch, or of a client's request."""
        return self.found.batch_s if self.offline else self.found.latency_s

    @property
    def ttft_s(self) -> float:
        """Until each beam has its first token."""
        return self.latency_s - self.found.decode_s

    @property
    def tpot_s(self) -> float | None:
        """Of each further token of all beams; None where there is none."""
        further = self.load.output_tokens - 1
        return self.found.decode_s / further if further else None


def beam_figures(row: Row) -> dict[str, str]:
    """The columns of a row of wide beams: of an offline batch, or where it has none, of so many clients. InputError
    where it cannot be served."""
    searched = _Searched.of(row, otherwise=NOT_STATED)
    return {
        "predicted_ttft_ms": f"{searched.ttft_s * 1e3:.6g}",
        "predicted_tpot_ms": "" if searched.tpot_s is None else f"{searched.tpot_s * 1e3:.6g}",
        "predicted_ms": f"{searched.latency_s * 1e3:.6g}",
        "predicted_requests_per_s": "" if searched.offline else f"{searched.found.requests_per_s:.6g}",
    }


def predict_row(row: Row) -> dict[str, Any]:
    """The figures of one set-up, with the error to expect. InputError where it cannot be served."""
    if (row.get("beams") or "1") != "1":
        return _beams_row(row)
    setup = setup_of(row)
    served_as = {"model": setup.model, "gpu": setup.gpu, "engine": setup.engine, "gpus": setup.layout.gpus}
    load = {name: getattr(setup, name) for name in ("prompt_tokens", "output_tokens", "concurrency")}
    return {
        "set_up": {**served_as, **load, **protocol_of(setup)._asdict()},
        "predicted": asdict(predict(setup)),
        "expected_error": expected_error(setup.model, setup.gpu, setup.engine),
    }


def _beams_row(row: Row) -> dict[str, Any]:
    """The same of wide beams: what so many clients get."""
    searched = _Searched.of(row)
    model, gpu, gpus, load = searched.model, searched.gpu, searched.layout.gpus, searched.load
    rate = searched.found.requests_per_s
    written = rate * load.beams * load.output_tokens
    passed = rate * (load.prompt_tokens + load.beams * (load.output_tokens - 1))
    return {
        "set_up": {
            **{"model": model.name, "gpu": gpu.name, "engine": row["engine"], "gpus": gpus},
            "prompt_tokens": load.prompt_tokens,
            "output_tokens": load.output_tokens,
            "beams": load.beams,
            "concurrency": load.requests,
        },
        "predicted": {
            "ttft_s": searched.ttft_s,
            "tpot_s": searched.tpot_s,
            "latency_s": searched.latency_s,
            "requests_per_s": rate,
            "tokens_per_s": written,
            "joules_per_million_tokens": ReplicaPower(model, gpu, gpus).busy_joules(1.0, passed) / written * 1e6,
            "usd_per_million_tokens": rent_cost(gpus, gpu.usd_per_hour(Tariffs())).usd / written * 1e6,
        },
        "expected_error": f"within {searched.found.error:.0%} of the latency (median over beams that were measured and "
        "left out of the fit)",
    }


def predict_file(path: Path, out: Path, progress: Progress) -> int:
    """Predict each row of a file and write it, with the figures behind its columns, in the same order; says how many
    could not be served. InputError where it is no such file."""
    columns, rows = read_rows(path)
    beams = "beams" in columns
    for column in BEAMS if beams else SERVING:
        if column not in columns:
            raise InputError(
                f"{path}: no column {column!r}; it has {', '.join(columns)}, and the columns "
                f"{', '.join(BEAMS if beams else SERVING)} are needed"
            )
    kept = [column for column in columns if column not in FIGURES]
    written = [{**row, **figures} for row, figures in zip(rows, _predicted(rows, beams, progress), strict=True)]
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*kept, *FIGURES], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(written)
    return sum(bool(row["note"]) for row in written)


def _predicted(rows: Sequence[Row], beams: bool, progress: Progress) -> Iterator[dict[str, str]]:
    predictor = Predictor()
    with progress.task("predict set-ups", len(rows)) as task:
        for row in rows:
            yield predictor.figures(row, beams)
            task.advance()


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            columns = list(reader.fieldnames or [])
            rows = []
            for row in reader:
                if None in row:
                    raise InputError(
                        f"{path}: line {reader.line_num} has more values than the header has columns; mend it"
                    )
                rows.append(row)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a CSV of set-ups") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no CSV in UTF-8 ({error}); export it anew") from None
    if not rows:
        raise InputError(f"{path}: no rows below a header; name a CSV of set-ups")
    return columns, rows
