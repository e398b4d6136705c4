"""One region of a run: a world of its own that is run from barrier to barrier."""

import shutil
from collections import deque
from pathlib import Path

import numpy as np
import pyarrow as pa

from fleetrec.models.runtime.machine_memory import peak_rss_bytes
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.engine.run import advance, begin, end, end_of, fewer_collections
from fleetrec.simulator.engine.world import build_world
from fleetrec.simulator.preparation.closed_loop import fitted_users, grown, lived
from fleetrec.simulator.preparation.fitted_users import is_fitted
from fleetrec.simulator.preparation.held_out import held_out_of
from fleetrec.simulator.preparation.policy_calibration import tune
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.records.parquet import write_table
from fleetrec.simulator.records.schemas import INTERACTION_SCHEMA, OPPORTUNITY_SCHEMA, REQUEST_TABLE
from fleetrec.simulator.records.update_log import UPDATE_SCHEMA
from fleetrec.simulator.regions.messages import RegionState, Task
from fleetrec.simulator.regions.uploads import RegionUploads
from fleetrec.simulator.results.collect import collect
from fleetrec.simulator.results.lives import OF_CHOICES
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs
from fleetrec.simulator.workload.arrivals import gaps_of

_SCHEMAS = {
    "interactions": INTERACTION_SCHEMA,
    "requests": REQUEST_TABLE,
    "updates": UPDATE_SCHEMA,
    "opportunities": OPPORTUNITY_SCHEMA,
}
OWNERS, GAPS, LIVES = "owners", "gaps", "lives"
"""files beside the tables: of each interaction its user, and what else is known of it where users react; pauses between
interactions; what each device's user did who reacts"""


class Region:
    """The world of one region, and how far it has come."""

    def __init__(self, scenario: sections.Scenario, prepared: Prepared, folder: Path, device: str):
        """`scenario` and `prepared` are the region's alone; its records go to `folder`."""
        self._scenario, self._prepared, self._folder, self._progress = scenario, prepared, folder, NullProgress()
        self._end_s = end_of(prepared.population.stream.horizon_s)
        shutil.rmtree(folder, ignore_errors=True)  # what a worker that was lost has left
        inputs = SlateInputs.of(scenario)
        self._tuned = tune(scenario.policy, inputs, prepared, lambda: held_out_of(prepared, device, self._progress))
        self._before, histories = prepared, None
        if scenario.workload.users.reacts:
            self._prepared = prepared = grown(prepared, device, self._progress)
            assert isinstance(prepared.trained.histories, GrowingHistories)
            histories = prepared.trained.histories
        self._world = build_world(scenario, prepared, self._tuned, folder / "parts", device, self._before)
        self._uploads: RegionUploads | None = None
        if self._world.learning is not None:
            self._world.learning.told = deque()
            self._uploads = RegionUploads(self._world.learning, prepared.population, histories)
        begin(self._world, prepared, self._progress)

    def do(self, task: Task) -> RegionState:
        """Hear the update and go on; how the region stands then."""
        world, update = self._world, task.update
        if world.learning is not None and world.learning.told is not None and update.checked:
            world.learning.told.append(update.training)
        if update.tokens is not None:
            world.budget.deal(update.tokens)
        with fewer_collections():
            advance(world, self._end_s if task.until_s is None else task.until_s)
        if task.until_s is None:
            return self._finish()
        sent = self._uploads.by(task.until_s) if self._uploads is not None else None
        return RegionState(sent=sent, tokens=world.budget.kept)

    def _finish(self) -> RegionState:
        scenario, world, prepared, fit = self._scenario, self._world, self._prepared, None
        end(world, self._end_s)
        if world.reactions is not None:
            prepared = lived(self._before, prepared, world.reactions.streamed)
        if is_fitted(scenario.workload):
            threads = prepared.inputs.training.threads
            fit = fitted_users(scenario.workload, self._before.trained, threads, self._progress).fit
        result = collect(scenario, prepared, world, self._tuned, self._progress, of_region=True, users_fit=fit)
        if prepared.source is not None:
            prepared.source.save()
        for name, frame in result.tables.items():
            self._write(name, pa.Table.from_pandas(frame, _SCHEMAS.get(name), preserve_index=False))
        owners = prepared.population.owners.astype(np.int32)[result.interactions["device"]]
        choices = {} if result.lives is None else {name: result.lives.choices[name] for name in OF_CHOICES}
        self._write(OWNERS, pa.table({"user": owners} | choices))
        if result.lives is not None:
            self._write(LIVES, pa.Table.from_pandas(result.lives.devices, preserve_index=False))
        self._write(GAPS, pa.table({"gap_s": gaps_of(prepared.population.stream)}))
        world.recorder.remove_parts()
        up_s = world.service.up_s(prepared.population.stream.horizon_s)
        return RegionState(summary=result.summary, notes=result.notes, up_s=up_s, peak_rss_bytes=peak_rss_bytes())

    def _write(self, name: str, table: pa.Table) -> None:
        texts = [field.name for field in table.schema if not pa.types.is_primitive(field.type)]
        write_table(table, self._folder / f"{name}.parquet", use_dictionary=texts)
