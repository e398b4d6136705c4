"""Users of a log who can choose: a model fitted on the part of the log that no recommender of a run has learnt from.

Of the users who are streamed, four fifths lend what they did after the cut; what the others did after it is compared
with what the model does in their place, living on its own choices.
"""

import json
from collections.abc import Mapping
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.precision import computed_with
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.core.resampling import user_keys
from fleetrec.simulator.preparation.shown_screens import FEWEST, compared_screens, screens_of, skip_of, worth
from fleetrec.simulator.scenario.sections import EmpiricalArrivals, Workload
from fleetrec.simulator.workload.arrivals import empirical_times
from fleetrec.simulator.workload.exposures import read_exposures
from fleetrec.simulator.workload.recipe import with_recipe
from fleetrec.simulator.workload.splitting import SplitLog
from fleetrec.simulator.workload.user_kinds.choice import ChoiceUsers
from fleetrec.simulator.workload.users.click_model import click_model_of
from fleetrec.simulator.workload.users.fitted import FittedUsers
from fleetrec.simulator.workload.users.utility import Floats, Ints, Laws, Moments, Past

FORMAT = 3
_ARTIFACT = "users"
_SEED = 1
_PARTS, _HELD_OUT, _VALIDATING = 10, (8, 9), (6, 7)
"""users are dealt out by their ids: the same in every run"""
_FEWEST = 20
_SCREEN = 10
_LAW_USERS = 512
_CURVE = 48  # points
_LIVES = 8
"""draws of pauses that are put together: what one draws among a few hundred users says little"""
PAUSE_S = 1800.0
"""a longer pause begins a new session"""


@dataclass(frozen=True)
class UserRoles:
    """Which users [U] lend their choices after the cut to what."""

    fitting: NDArray[np.bool_]
    validating: NDArray[np.bool_]
    """of those, who say when to stop"""
    held_out: NDArray[np.bool_]


def is_fitted(workload: Workload) -> bool:
    """Whether users of a workload choose by what was learnt from its log."""
    return isinstance(workload.users, ChoiceUsers) and workload.interactions != "synthetic"


def roles_of(split: SplitLog) -> UserRoles:
    """InputError where too few users are streamed to fit anything and to hold any out."""
    part = np.asarray(user_keys(split.log.user_ids) % _PARTS)
    held = split.streamed & np.isin(part, _HELD_OUT)
    fitting = split.streamed & ~held
    validating = fitting & np.isin(part, _VALIDATING)
    if held.sum() < 2 or validating.sum() < 1 or fitting.sum() < _FEWEST:
        raise InputError(
            f"{split.log.source}: {int(split.streamed.sum()):,} users have interactions after the cut, too few to fit "
            f"users who choose on and to hold some out ({_FEWEST * _PARTS // 8} or more are needed); use a longer log, "
            "or an earlier workload.split.at"
        )
    return UserRoles(fitting, validating, held)


def fit_users(split: SplitLog, store: ArtifactStore, threads: int, progress: Progress) -> FittedUsers:
    """The model of a log's users, from the cache where it has been fitted before."""
    roles, log = roles_of(split), split.log
    key = {
        "format": FORMAT,
        "log": log.content_hash,
        "choices": content_hash(split.history, split.streamed),
        **computed_with(threads, "cpu"),
    }
    folder = store.open(_ARTIFACT, key)
    if folder is not None:
        told = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
        fit = told["fit"] | {"items": _known_items(split, roles)}
        return FittedUsers(load_file(folder / "users.safetensors"), Laws(**told["laws"]), fit)
    store.check_writable()
    away_s = np.diff(log.times, prepend=0.0)
    away_s[log.offsets[:-1]] = np.inf
    from fleetrec.models.srm.training import deterministic
    from fleetrec.models.users.choice_model import Histories, train_choice_model

    data = Histories(log.offsets, log.items.astype(np.int64), away_s, log.n_items)
    begin, end = np.where(roles.fitting, split.history, 0), np.where(roles.fitting, log.lengths, 0)
    with deterministic(_SEED, threads, "cpu"):
        weights, history = train_choice_model(data, _popularity(split), begin, end, roles.validating, _SEED, progress)
    arrays = {name: values.numpy() for name, values in weights.items()}
    laws = _laws(split, FittedUsers(arrays, Laws()), np.flatnonzero(roles.fitting)[:_LAW_USERS])
    fit = compare_users(split, FittedUsers(arrays, laws))
    with store.creating(_ARTIFACT, key) as temporary:
        save_file(arrays, temporary / "users.safetensors")
        told = {"laws": asdict(laws), **history, "fit": fit}
        (temporary / "fit.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    return FittedUsers(arrays, laws, fit | {"items": _known_items(split, roles)})


def exposed(model: FittedUsers, split: SplitLog, workload: Workload) -> FittedUsers:
    """The same users, who look down a screen and leave it as a log says that names what was shown: which was clicked,
    and either how likely each item was or whether it was shown at random."""
    section = None if isinstance(workload.interactions, str) else with_recipe(workload.interactions)
    if section is None or section.columns.clicked is None:
        return model
    if section.columns.propensity is None and section.columns.random is None:
        return model
    shown, model = read_exposures(section), copy(model)
    laws, fit = model.laws, dict(model.fit)
    if section.columns.position is not None:
        laws = replace(laws, examination=max(click_model_of(shown).falls_by, 0.0))
        fit |= {"exposures": len(shown.user)}
    roles, screens = roles_of(split), screens_of(split, shown)
    fitted, held = screens.of(roles.fitting), screens.of(roles.held_out)
    if len(fitted.user) >= FEWEST and len(held.user):
        said = workload.users.laws(laws) if isinstance(workload.users, ChoiceUsers) else laws
        values = [worth(split, model, some, said.examination) for some in (fitted, held)]
        laws = replace(laws, skip=skip_of(values[0], (fitted.left * len(fitted.user) + 0.5) / (len(fitted.user) + 1)))
        fit["compared"] = [*fit["compared"], compared_screens(fitted, held, values[1], laws.skip)]
    model.laws, model.fit = laws, {**fit, "laws": asdict(laws)}
    return model


def _laws(split: SplitLog, model: FittedUsers, users: Ints) -> Laws:
    """What a log of choices does not tell is set so: of the best screen that there is, users take something half the
    time; what they chose themselves leaves them as satisfied as they are."""
    state, at = model.initial(past_of(split, users)), _first_moments(split, users)
    utility = model.catalogue(state, at)
    chosen = utility[np.arange(len(users)), split.log.items[split.log.offsets[users] + split.history[users]]]
    shown = min(_SCREEN, model.n_items)
    best = -np.sort(-utility, axis=1)[:, :shown] - Laws.examination * np.log(np.arange(1, shown + 1))
    return Laws(skip=float(np.median(np.log(np.exp(best).sum(axis=1)))), satisfied=float(chosen.mean()))


def past_of(split: SplitLog, users: Ints) -> Past:
    """What users [M] had before what they choose."""
    log, lengths = split.log, split.history[users]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    at = np.repeat(log.offsets[users] - offsets[:-1], lengths) + np.arange(offsets[-1])
    return Past(users, offsets, log.items[at].astype(np.int64), log.times[at])


def _first_moments(split: SplitLog, users: Ints) -> Moments:
    nothing = np.zeros(len(users), dtype=np.int64)
    return Moments(
        np.arange(len(users)), nothing, nothing, split.log.times[split.log.offsets[users] + split.history[users]]
    )


def live(split: SplitLog, model: FittedUsers, users: Ints, seed: int = 1) -> list[Ints]:
    """What users choose of the whole catalogue at the log's own moments, living on their own choices: a list a user."""
    log, draws = split.log, Draws(seed)
    lengths = (log.lengths - split.history)[users]
    users = users[order := np.argsort(-lengths, kind="stable")]
    lengths = lengths[order]
    state, found = model.initial(past_of(split, users)), [np.empty(n, dtype=np.int64) for n in lengths.tolist()]
    every = np.arange(model.n_items)
    for step in range(int(lengths[0])):
        here = np.arange(int(np.searchsorted(-lengths, -step, side="left")))
        times = log.times[log.offsets[users[here]] + split.history[users[here]] + step]
        at = Moments(here, np.full(len(here), step), np.zeros_like(here), times)
        noise = -np.log(-np.log(draws.uniform("users.check", users[here, None], step, every)))
        item = (model.catalogue(state[here], at) + noise).argmax(axis=1)
        for row, one in zip(here.tolist(), item.tolist(), strict=True):
            found[row][step] = one
        model.advance(state, here, at, item)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return [found[place] for place in back.tolist()]


def compare_users(split: SplitLog, model: FittedUsers, seed: int = 1) -> dict[str, Any]:
    """How what the model does in place of held-out users is distributed beside what they did: KS distances.

    `between_users` is the same distance of what the fitting users did: users differ by so much, whatever the model.
    """
    roles = roles_of(split)
    held, others = np.flatnonzero(roles.held_out), np.flatnonzero(roles.fitting)
    theirs, fitting = _chosen(split, held), _chosen(split, others)
    lived = live(split, model, held, seed)
    rank = np.empty(split.log.n_items)
    rank[np.argsort(-_popularity(split), kind="stable")] = np.arange(split.log.n_items)
    of = {
        "popularity": [rank[np.concatenate(lists)] for lists in (lived, theirs, fitting)],
        "repeats": [_repeats(split, *one) for one in ((held, lived), (held, theirs), (others, fitting))],
    }
    if split.log.clock != "none":
        device, _ = ragged((split.log.lengths - split.history)[held])
        logged = [_logged_sessions(split, users) for users in (held, others)]
        for after in ("others", "self"):
            arrivals, lives = EmpiricalArrivals(after=after), range(seed, seed + _LIVES)
            drawn = [_sessions(device, empirical_times(split, arrivals, held, others, Draws(n))) for n in lives]
            times = [tuple(map(np.concatenate, zip(*drawn, strict=True))), *logged]
            names = (f"session_length_after_{after}", f"gap_after_{after}")
            of |= {name: [one[place] for one in times] for place, name in enumerate(names)}
    rows = [
        {
            "what": name,
            "ks": ks(lived_so, real),
            "between_users": ks(rest, real),
            "model_mean": float(lived_so.mean()),
            "held_out_mean": float(real.mean()),
            "others_mean": float(rest.mean()),
            "curve": _curve(lived_so, real),
        }
        for name, (lived_so, real, rest) in of.items()
    ]
    return {
        "log": split.log.source,
        "split": split.description,
        "held_out_users": len(held),
        "held_out_choices": sum(map(len, theirs)),
        "compared": rows,
        "laws": asdict(model.laws),
    }


def fitted_notes(fit: Mapping[str, Any]) -> list[Note]:
    """On what users rest who were fitted (`FittedUsers.fit`), and what is assumed of them."""
    told = (
        "users are of a model that was fitted on what the log's users did after the cut, from which no recommender has "
        "learnt: what they want is told from what they had, whoever had shown it to them"
    )
    left = next((row for row in fit["compared"] if row["what"] == "left"), None)
    half = "of the best screen of ten they take something half the time; "
    assumed = (
        f"no log of choices tells what users leave: unless workload.users says otherwise, {'' if left else half}"
        "patience, satisfaction and returns are assumed"
    )
    notes = [note("users_fitted", told), note("users_assumed", assumed)]
    if fit["items"]["unknown"]:
        few = (
            "{unknown:,} of {items:,} items were had neither before the cut nor by the users of the fit: to users who "
            "choose they are worth what little their popularity says"
        )
        notes.append(note("users_unknown_items", few, **fit["items"]))
    if left is not None:
        said = (
            "what taking nothing is worth is fitted on {fitted:,} screens that the log says were shown: nothing was "
            "taken of {did:.1%} of {held_out:,} that held-out users were shown, and the model takes nothing of "
            "{model:.1%}; workload.users.skip sets it otherwise"
        )
        shares = {"did": left["held_out_mean"], "model": left["model_mean"]}
        notes.append(note("users_leave", said, **left["screens"], **shares))
    if "exposures" in fit:
        seen = (
            "how far down a screen users look is fitted on {rows:,} rows of the log that say what was shown where: an "
            "item at place j (from 0) is weighed with (j + 1)^-{examination:.2f}, unless workload.users says otherwise"
        )
        values = {"rows": fit["exposures"], "examination": fit["laws"]["examination"]}
        notes.append(note("users_examination", seen, **values))
    return notes


def _known_items(split: SplitLog, roles: UserRoles) -> dict[str, int]:
    """How many items there are, and of how many nothing is known but that nobody had them."""
    known = _popularity(split) > 0
    known[np.concatenate(_chosen(split, np.flatnonzero(roles.fitting)))] = True
    return {"items": len(known), "unknown": int((~known).sum())}


def _chosen(split: SplitLog, users: Ints) -> list[Ints]:
    """What users did after the cut."""
    log = split.log
    begin, end = log.offsets[users] + split.history[users], log.offsets[users + 1]
    return [log.items[first:last].astype(np.int64) for first, last in zip(begin.tolist(), end.tolist(), strict=True)]


def _sessions(user: Ints, times: Floats) -> tuple[Floats, Floats]:
    """Lengths of sessions, and gaps of users' consecutive moments, in order by user [S]."""
    gaps = np.diff(times)
    same = np.diff(user) == 0
    begins = np.append(True, ~same | (gaps > PAUSE_S))
    return np.diff(np.append(np.flatnonzero(begins), len(times))).astype(np.float64), gaps[same]


def _logged_sessions(split: SplitLog, users: Ints) -> tuple[Floats, Floats]:
    log, lengths = split.log, (split.log.lengths - split.history)[users]
    device, place = ragged(lengths)
    return _sessions(device, log.times[(log.offsets[users] + split.history[users])[device] + place])


def _popularity(split: SplitLog) -> Floats:
    """[I]: how often each item was had before the cut."""
    log, user = split.log, split.log.user_of_event
    before = np.arange(log.n_events) - log.offsets[user] < split.train_end[user]
    return np.bincount(log.items[before], minlength=log.n_items).astype(np.float64)


def _repeats(split: SplitLog, users: Ints, chosen: list[Ints]) -> Floats:
    """Whether each choice is of an item that its user has had: 1 or 0."""
    found = []
    for user, items in zip(users.tolist(), chosen, strict=True):
        start, known = split.log.offsets[user], split.history[user]
        whole = np.concatenate([split.log.items[start : start + known], items])
        again = np.ones(len(whole))
        again[np.unique(whole, return_index=True)[1]] = 0.0
        found.append(again[known:])
    return np.concatenate(found)


def _curve(lived: Floats, real: Floats) -> dict[str, list[float]]:
    """The shares of both samples that are not above some of their values."""
    at = np.unique(np.quantile(np.concatenate([lived, real]), np.linspace(0, 1, _CURVE), method="inverted_cdf"))
    of = {"model": lived, "held_out": real}
    below = {name: np.searchsorted(np.sort(values), at, side="right") / len(values) for name, values in of.items()}
    return {"at": at.tolist()} | {name: np.round(shares, 4).tolist() for name, shares in below.items()}


def ks(one: Floats, other: Floats) -> float:
    """The Kolmogorov-Smirnov distance of two samples."""
    both = np.sort(np.concatenate([one, other]))
    below = [np.searchsorted(np.sort(sample), both, side="right") / len(sample) for sample in (one, other)]
    return float(np.abs(below[0] - below[1]).max())
