"""What every HTML report says in the same words: accounts of cost, split, caveats, how intervals are meant."""

from collections.abc import Mapping, Sequence
from typing import Any

from fleetrec.reports.data.notes import texts_but, texts_of
from fleetrec.simulator.core.notes import COST_ACCOUNT, ENGAGEMENT, PREDICTION, QUALITY

ACCOUNTS = (
    "Provisioned: what it costs to own the fewest GPUs that keep the latency objective in the busiest half hour "
    "of the fleet that this one stands for, paid all the time, idle or not. Marginal: what the requests alone used, "
    "as if every GPU were rented by the second. A policy that asks less saves on the marginal account at once, and "
    "on the provisioned one only where the peak falls."
)
REPLAYED_CHOICES = (
    "Logged choices do not react to slates: what users chose is taken from a log, whatever was on their screen. "
    "Accuracy says how well the choice was predicted, not how much more people would have chosen."
)
OVER_USERS = (
    "95%. Interactions of one user are not independent and clones of a user are one user, so intervals count users."
)
OVER_SEEDS = (
    "95%, as the comparison made them (its column generalises_to says to what); figures that were not compared have "
    "Student's t over seeds, and one seed gives no interval. Variants at one seed saw the same users, links and "
    "outages, so the interval of a difference is narrower than two intervals side by side suggest."
)
FRONT = (
    "A variant is on the front where no other is at least as good on both axes and better on one. Where intervals "
    "overlap widely, the order may be chance; the probability of being on the front, where given, says how sure it is."
)


def measured(summary: Mapping[str, Any]) -> tuple[str, str]:
    """What accuracy measures, in a few words and in whole ones."""
    caveat = next(iter(texts_of(summary, ENGAGEMENT)), None)
    if caveat is None:
        return "Prediction, not engagement", REPLAYED_CHOICES
    return "Engagement, of a model of users", f"{caveat[:1].upper()}{caveat[1:]}."


def quality_and_cost(summary: Mapping[str, Any]) -> str:
    """Whose quality was simulated and whose cost charged."""
    return next(iter(texts_of(summary, QUALITY)), "quality and cost: not stated by the run")


def as_sentence(text: str) -> str:
    """With a capital letter and a full stop; names inside stay as they are."""
    return f"{text[:1].upper()}{text[1:]}."


def account_note(summary: Mapping[str, Any]) -> str:
    """The accounts in plain words, then the objective and fleet as the run states them."""
    return " ".join([ACCOUNTS, *(f"{text[:1].upper()}{text[1:]}." for text in texts_of(summary, COST_ACCOUNT))])


def split_note(summary: Mapping[str, Any]) -> str:
    """How the log was cut into what models learn from and what is replayed."""
    split = summary.get("split") or "not stated"
    if isinstance(split, Mapping):
        return str(split.get("description") or split.get("kind") or "not stated")
    return str(split)


def models_note(summary: Mapping[str, Any]) -> str:
    """`quality of X, cost of Y`, explained."""
    return (
        f"{quality_and_cost(summary)}: the candidate lists come from the first model, their time and price are those "
        "of the second."
    )


def other_notes(summary: Mapping[str, Any]) -> Sequence[str]:
    """Notes of the run that no other part of a report shows."""
    return texts_but(summary, QUALITY, COST_ACCOUNT, PREDICTION, ENGAGEMENT)


def versions(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Versions by name, as they were when it ran."""
    return [(str(name), str(version)) for name, version in held.items()]


def hangs_on(summary: Mapping[str, Any]) -> list[str]:
    """What the answer hangs on, a sentence each, with a number of this run or of a cheap extra one."""
    return [str(row["text"]) for row in summary.get("hangs_on") or () if isinstance(row, Mapping) and row.get("text")]
