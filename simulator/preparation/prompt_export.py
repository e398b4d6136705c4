"""The prompts of a scenario's requests, for a user who answers them with a language model of their own, and how many of
them a table answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fleetrec.models.llm.table import check_table
from fleetrec.models.llm.table_reading import read_table
from fleetrec.models.llm.titles import prompt_of
from fleetrec.models.runtime.artifacts import atomic_path, check_file_place
from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.preparation.held_out import held_out_decisions
from fleetrec.simulator.preparation.training import CALIBRATION_TAIL, VALIDATION_SEED, load_workload
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import PreparationInputs
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.splitting import SplitLog, split_log, training_set

Ints = NDArray[np.int64]

STREAM, CALIBRATION = "stream", "calibration"
_ROWS_AT_ONCE = 10_000


class Prompts:
    """The prompts of a log's users. Items without a title are shown as "item LABEL"."""

    def __init__(self, inputs: PreparationInputs, log: InteractionLog):
        self._log, self._repeats = log, not inputs.lists.hides_seen
        self.asked = inputs.lists.candidates.title_prompt() or sections.TitlePrompt()
        titles = log.titles or ("",) * log.n_items
        self.names = [title or f"item {label}" for title, label in zip(titles, log.item_ids, strict=True)]
        """of items, as prompts show them"""

    def of(self, users: Ints, as_of: Ints) -> list[str]:
        """One for each user [N] whose newest interaction is at as_of [N]."""
        items, begin = self._log.items, self._log.offsets[users]
        return [
            prompt_of(self.asked, self.names, items[first : first + newest + 1].tolist(), self._repeats)
            for first, newest in zip(begin.tolist(), as_of.tolist(), strict=True)
        ]


def export_prompts(inputs: PreparationInputs, path: Path) -> dict[str, int]:
    """Writes one row for each list that a run may need: user_id, as_of, part, prompt.

    user_id is the log's label, as_of the position of the newest interaction that the prompt shows, both as a table of
    answers needs them. part: `stream`, what a device may ask for or come with, or `calibration`, what thresholds, gains
    and fitted fusions are found on before the stream begins. Returns the number of rows of each part; InputError for
    what the user can mend.
    """
    check_file_place("--out", path)
    log, users, as_of, of_stream = _wanted(inputs)
    prompts = Prompts(inputs, log)
    parts = np.where(of_stream, STREAM, CALIBRATION)
    schema = pa.schema([(name, pa.string()) for name in ("user_id", "part", "prompt")]).insert(
        1, pa.field("as_of", pa.int64())
    )
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for at in range(0, len(users), _ROWS_AT_ONCE):
            rows = slice(at, at + _ROWS_AT_ONCE)
            labels = [str(label) for label in log.user_ids[users[rows]]]
            columns = [labels, as_of[rows], parts[rows].tolist(), prompts.of(users[rows], as_of[rows])]
            writer.write_table(pa.table(columns, schema=schema))
    return {STREAM: int(of_stream.sum()), CALIBRATION: int((~of_stream).sum())}


def check_answers(inputs: PreparationInputs, table: Path) -> dict[str, Any]:
    """What `check_table` says of a table of answers, with its coverage of what a run will ask: of the
    lists of the stream, and of those that thresholds, gains and fitted fusions are found on."""
    log, users, as_of, of_stream = _wanted(inputs)
    figures, answers = check_table(table, log), read_table(table, log)
    longest = int(log.lengths.max()) + 1
    having = np.isin(users * longest + as_of, answers.users * longest + answers.as_of)
    for part, rows in ((STREAM, of_stream), (CALIBRATION, ~of_stream)):
        figures["coverage"][part] = float(having[rows].mean()) if rows.any() else None
    return figures


def _wanted(inputs: PreparationInputs) -> tuple[InteractionLog, Ints, Ints, NDArray[np.bool_]]:
    """The log, (user, as_of) of the lists that a run may need, and which are the stream's."""
    log = inputs.training.log
    split = split_log(load_workload(log), log.split)
    streamed = np.flatnonzero(split.streamed)
    first = np.maximum(split.history[streamed] - 1 - (inputs.lag or 0), 0)
    counts = split.log.lengths[streamed] - first  # a device may ask after its last interaction too: it knows of no end
    return split.log, *_with_calibration(inputs, split, *_lists(streamed, first, counts))


def _lists(users: Ints, first: Ints, count: Ints) -> tuple[Ints, Ints]:
    """(user, as_of) of `count` [U] lists of users [U] from `first` [U] on."""
    which, nth = ragged(count)
    return users[which], first[which] + nth


def _with_calibration(
    inputs: PreparationInputs, split: SplitLog, users: Ints, as_of: Ints
) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """The stream's lists, then those of held-out decisions that are not among them, and which are the stream's."""
    validation = inputs.training.log.split.validation_users
    decisions = held_out_decisions(inputs, training_set(split, VALIDATION_SEED, validation, CALIBRATION_TAIL))
    begin = np.where(decisions.begins_with >= 0, decisions.begins_with, decisions.first)
    wanted = np.stack(_lists(decisions.users, begin, decisions.first + decisions.count - begin))
    longest = int(split.log.lengths.max()) + 1
    new = ~np.isin(wanted[0] * longest + wanted[1], users * longest + as_of)
    users, as_of = np.concatenate([np.stack([users, as_of]), wanted[:, new]], axis=1)
    return users, as_of, np.arange(len(users)) < len(users) - new.sum()
