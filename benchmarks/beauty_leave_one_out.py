"""Leave-one-out, full-ranking accuracy of the small models, trained by the library's own `train_or_load_srm`.

Each user's last item is the test target, the one before it the validation target (early stopping), the rest is learnt
from; the test window holds everything before the last item. Every target is ranked among the whole catalogue.
Usage: FLEETREC_DATA=... python benchmarks/beauty_leave_one_out.py --srm sasrec [--json], or --data LOG.csv.gz
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.artifacts import ArtifactStore
from models.metrics import accuracy
from models.progress import RichProgress
from models.sequences import TrainingSet, training_set
from models.srm.training import train_or_load_srm
from models.srm.validation import catalogue_ranks
from simulator.scenario.sections import Srm, Training
from simulator.tables import resolve_path

PROTOCOL = (
    "leave-one-out: last item test, second last validation; full ranking of the whole catalogue; "
    "ties to the lower item id; `test` keeps the user's earlier items in the ranking, `test_excluding_seen` drops them"
)


def leave_one_out(path: Path) -> TrainingSet:
    """The log (user_id, item_id, in order within each user) of users with at least three interactions."""
    log = pd.read_csv(path, usecols=["user_id", "item_id"])
    user, item = pd.factorize(log["user_id"])[0], pd.factorize(log["item_id"], sort=True)[0]
    order = np.argsort(user, kind="stable")
    lengths = np.bincount(user)
    keep = np.repeat(lengths >= 3, lengths)
    lengths = lengths[lengths >= 3]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return training_set(offsets, item[order][keep], int(item.max()) + 1, lengths - 2, lengths - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data",
        default="${FLEETREC_DATA}/interactions/beauty/interactions.csv.gz",
        help="log with user_id and item_id (default: %(default)s)",
    )
    parser.add_argument("--srm", choices=("sasrec", "gru4rec", "din"), default="sasrec")
    parser.add_argument("--loss", choices=("full_softmax", "bce"), default=None)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=50)
    parser.add_argument("--layers", type=int, default=None, help="default: 2 for sasrec, 1 for gru4rec")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--learning-rate", type=float, default=None, help="default: 2e-3 for gru4rec, else 1e-3")
    parser.add_argument("--weight-decay", type=float, default=Training().weight_decay)
    parser.add_argument("--batch-size", type=int, default=Training().batch_size)
    parser.add_argument("--patience", type=int, default=Training().patience)
    parser.add_argument("--seed", type=int, default=Training().seed)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    given = parser.parse_args()

    config = Srm(
        kind=given.srm,
        dim=given.dim,
        layers=given.layers or (2 if given.srm == "sasrec" else 1),
        max_length=given.max_length,
        loss=given.loss or ("bce" if given.srm == "din" else "full_softmax"),
        epochs=given.epochs,
        training=Training(
            seed=given.seed,
            batch_size=given.batch_size,
            learning_rate=given.learning_rate or (2e-3 if given.srm == "gru4rec" else 1e-3),
            weight_decay=given.weight_decay,
            dropout=given.dropout,
            patience=given.patience,
        ),
    )
    data = leave_one_out(resolve_path(given.data))
    with tempfile.TemporaryDirectory() as cache:  # always trained anew: the time is part of the result
        began, cpu_began = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
        srm = train_or_load_srm(config, data, ArtifactStore(cache), given.threads, progress=RichProgress())
        seconds = time.perf_counter() - began
        cpu_seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu_began
    users = np.arange(data.n_users)
    last = np.diff(data.offsets) - 1
    ranks = {
        "test": catalogue_ranks(srm.model, data.offsets, data.items, users, last),
        "test_excluding_seen": catalogue_ranks(srm.model, data.offsets, data.items, users, last, exclude_seen=True),
    }
    result = {
        "protocol": PROTOCOL,
        "srm": config.model_dump(mode="json"),
        "users": data.n_users,
        "items": data.n_items,
        "seconds": round(seconds, 1),
        "cpu_user_seconds": round(cpu_seconds, 1),
        "validation": srm.validation,
        **{name: accuracy(values, (5, 10, 20)) for name, values in ranks.items()},
    }
    if given.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{PROTOCOL}\n{config.kind}, {config.loss}, d={config.dim}, L={config.max_length}: {seconds:.0f} s")
    for name in ("validation", *ranks):
        print(name, "  ".join(f"{key} {value:.4f}" for key, value in result[name].items() if key[:2] in ("hr", "nd")))


if __name__ == "__main__":
    main()
