"""The words of a report, each explained once on the page, and links to them from where they stand."""

import re

from markupsafe import Markup, escape

GLOSSARY = {
    "device": "A phone of the fleet, with its user's interactions, its link and its speed.",
    "SRM": "The small recommendation model that runs on the device and re-ranks the list at every interaction.",
    "candidate list": "The items that the cloud's LLM sent, in its order; as fresh as the history it was made from.",
    "slate": "What is on screen: the list as the device orders it, by the SRM's scores and the LLM's order together.",
    "staleness": "How many of the user's interactions the list on screen had not seen.",
    "request ratio": "Requests sent an interaction: 0 never sends one, 1 sends one at every interaction. What a device "
    "asks for while it is offline is never sent; answered are the requests whose list arrived in time.",
    "busy": "A replica is busy while it serves at least one request: not idle, which is not full. One that batches is "
    "busy with one request as with a hundred; its headroom says how much more it could take.",
    "marginal": "The cost of what requests used: busy GPU time, energy and traffic, GPUs being rented by the second.",
    "provisioned": "The cost of owning the fewest replicas that keep the latency objective in the busiest half hour of "
    "the represented fleet, paid all the time, idle or not.",
    "represented fleet": "The devices that the simulated ones stand for, as many as fleet.represents says: users who "
    "are active after the cut.",
    "replica": "One server of the LLM: a GPU, or several that hold one model together.",
    "headroom": "How much more load the replicas could take before the latency objective is missed.",
    "latency objective": "What cloud.slo asks of the replicas: how long 95% of requests may take at most, or other "
    "percentiles of that time, of the time to first token (TTFT) and of the time per output token (TPOT), all at once.",
    "HR@k": "Hit ratio: the share of interactions whose item stood among the first k of the slate.",
    "NDCG@k": "Like the hit ratio, but an item further up counts more: 1 / log2(1 + its place), 0 beyond place k.",
    "baseline": "What is compared to: in a run, rankings that need no cloud; in a sweep, the variant that is named so.",
    "front": "The variants that no other is at least as good as on every axis and better on one.",
    "knee": "The variant of the front after which more accuracy costs most.",
    "95% interval": "Made so that in 95 of 100 repetitions it holds the true value.",
    "p50, p95, p99": "The time within which 50, 95 and 99 of 100 were done.",
}
_ALSO = {
    "devices": "device",
    "phones": "device",
    "candidate lists": "candidate list",
    "slates": "slate",
    "requests sent an interaction": "request ratio",
    "replicas": "replica",
    "baselines": "baseline",
    "95% intervals": "95% interval",
    "p95": "p50, p95, p99",
    "p99": "p50, p95, p99",
}
_WORDS = {word.lower(): word for word in GLOSSARY} | _ALSO
_LONGEST_FIRST = "|".join(re.escape(word) for word in sorted(_WORDS, key=len, reverse=True))
_FOUND = re.compile(rf"(?<![\w@])(?:{_LONGEST_FIRST}|hr@\d+|ndcg@\d+)(?![\w@])", re.IGNORECASE)


def word_id(word: str) -> str:
    """The place of a word on the page."""
    return "word-" + re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")


def linked(text: object, but: str = "") -> Markup:
    """Text, escaped, in which the first mention of each word of the glossary (except `but`) leads to it."""
    seen = {but}
    parts: list[Markup] = []
    end = 0
    raw = str(text)
    for match in _FOUND.finditer(raw):
        held = match[0].lower()
        word = _WORDS.get(held) or ("HR@k" if held.startswith("hr@") else "NDCG@k")
        if word in seen:
            continue
        seen.add(word)
        link = Markup('<a class="word" href="#{}">{}</a>').format(word_id(word), match[0])
        parts += [escape(raw[end : match.start()]), link]
        end = match.end()
    return Markup("").join([*parts, escape(raw[end:])])
