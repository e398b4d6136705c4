"""The prompts of a scenario's requests, for a user who answers them with a language model of their own."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.artifacts import atomic_path, check_file_place
from models.llm.titles import prompt_of
from models.ragged import ragged
from simulator.learning import load_workload
from simulator.scenario import check_files, sections
from simulator.workload.splitting import split_log

_ROWS_AT_ONCE = 10_000


def export_prompts(scenario: sections.Scenario, path: Path) -> int:
    """Writes one row for each list that a device of `scenario` may ask for or come with: user_id, as_of, prompt.

    user_id is the log's label, as_of the position of the newest interaction that the prompt shows, both as a table of
    answers needs them. Items without a title are shown as "item LABEL". Returns the number of rows; InputError for
    what the user can mend.
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
    which, nth = ragged(counts)
    users, as_of = streamed[which], first[which] + nth
    schema = pa.schema({"user_id": pa.string(), "as_of": pa.int64(), "prompt": pa.string()})
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for at in range(0, len(users), _ROWS_AT_ONCE):
            rows = slice(at, at + _ROWS_AT_ONCE)
            prompts = [
                prompt_of(asked, names, log.items[log.offsets[user] : log.offsets[user] + newest + 1].tolist())
                for user, newest in zip(users[rows].tolist(), as_of[rows].tolist(), strict=True)
            ]
            labels = [str(label) for label in log.user_ids[users[rows]]]
            writer.write_table(pa.table([labels, as_of[rows], prompts], schema=schema))
    return len(users)
