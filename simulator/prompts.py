"""The prompts of a scenario's requests, for a user who answers them with a language model of their own."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.artifacts import atomic_path, check_file_place
from models.llm.titles import prompt_of
from models.ragged import ragged
from simulator.learning import CALIBRATION_TAIL, VALIDATION_SEED, load_workload
from simulator.scenario import check_files, sections
from simulator.tuning import held_out_decisions
from simulator.workload.splitting import SplitLog, split_log, training_set

Ints = NDArray[np.int64]

STREAM, CALIBRATION = "stream", "calibration"
_ROWS_AT_ONCE = 10_000


def export_prompts(scenario: sections.Scenario, path: Path) -> dict[str, int]:
    """Writes one row for each list that a run of `scenario` may need: user_id, as_of, part, prompt.

    user_id is the log's label, as_of the position of the newest interaction that the prompt shows, both as a table of
    answers needs them. part: `stream`, what a device may ask for or come with, or `calibration`, what thresholds, gains
    and fitted fusions are found on before the stream begins. Items without a title are shown as "item LABEL". Returns
    the number of rows of each part; InputError for what the user can mend.
    """
    check_file_place("--out", path)
    check_files(scenario)
    split = split_log(load_workload(scenario.workload), scenario.workload.split)
    log, candidates = split.log, scenario.llm.candidates
    asked = candidates if isinstance(candidates, sections.TitlePrompt) else sections.TitlePrompt()
    titles = log.titles or ("",) * log.n_items
    names = [title or f"item {label}" for title, label in zip(titles, log.item_ids, strict=True)]
    lag = scenario.fleet.preloaded.lag if scenario.fleet.preloaded else 0
    streamed = np.flatnonzero(split.streamed)
    first = np.maximum(split.history[streamed] - 1 - lag, 0)
    counts = np.maximum(log.lengths[streamed] - 1 - first, 0)  # after a user's last interaction nothing is predicted
    users, as_of, of_stream = _with_calibration(scenario, split, *_lists(streamed, first, counts))
    parts = np.where(of_stream, STREAM, CALIBRATION)
    schema = pa.schema([(name, pa.string()) for name in ("user_id", "part", "prompt")]).insert(
        1, pa.field("as_of", pa.int64())
    )
    repeats = not scenario.workload.hides_seen
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for at in range(0, len(users), _ROWS_AT_ONCE):
            rows = slice(at, at + _ROWS_AT_ONCE)
            prompts = [
                prompt_of(asked, names, log.items[log.offsets[user] : log.offsets[user] + newest + 1].tolist(), repeats)
                for user, newest in zip(users[rows].tolist(), as_of[rows].tolist(), strict=True)
            ]
            labels = [str(label) for label in log.user_ids[users[rows]]]
            writer.write_table(pa.table([labels, as_of[rows], parts[rows].tolist(), prompts], schema=schema))
    return {STREAM: int(of_stream.sum()), CALIBRATION: int((~of_stream).sum())}


def _lists(users: Ints, first: Ints, count: Ints) -> tuple[Ints, Ints]:
    """(user, as_of) of `count` [U] lists of users [U] from `first` [U] on."""
    which, nth = ragged(count)
    return users[which], first[which] + nth


def _with_calibration(
    scenario: sections.Scenario, split: SplitLog, users: Ints, as_of: Ints
) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """The stream's lists, then those of held-out decisions that are not among them, and which are the stream's."""
    validation = scenario.workload.split.validation_users
    decisions = held_out_decisions(scenario, training_set(split, VALIDATION_SEED, validation, CALIBRATION_TAIL))
    begin = np.where(decisions.begins_with >= 0, decisions.begins_with, decisions.first)
    wanted = np.stack(_lists(decisions.users, begin, decisions.first + decisions.count - begin))
    longest = int(split.log.lengths.max()) + 1
    new = ~np.isin(wanted[0] * longest + wanted[1], users * longest + as_of)
    users, as_of = np.concatenate([np.stack([users, as_of]), wanted[:, new]], axis=1)
    return users, as_of, np.arange(len(users)) < len(users) - new.sum()
