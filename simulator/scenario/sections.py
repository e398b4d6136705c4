"""The sections of a scenario file, typed. A field's description is its documentation (`cli.py schema`)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulator.scenario.units import BitsPerSecond, Bytes, FlopsPerSecond, Joules, Seconds, Share, Watts


class Section(BaseModel):
    """A part of a scenario: no unknown keys, no NaN, immutable once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _kind(*choices: Any) -> Any:
    return Field(discriminator="kind", **({"default": choices[0]} if choices else {}))


# ---------------------------------------------------------------------------------------------- workload


class LogFile(Section):
    """An interaction log on disk."""

    path: str = Field(description="the log; `${FLEETREC_DATA}` and `~` are expanded")
    items: str | None = Field(None, description="CSV of item_id,title,attributes")
    format: Literal["auto", "csv", "tsv", "parquet", "inter", "movielens_dat", "movielens_csv", "lines"] = Field(
        "auto", description="`auto` guesses from the name and the first lines"
    )
    on_error: Literal["fail", "skip"] = Field("fail", description="an unreadable row ends the run, or is counted")
    k_core: int = Field(0, ge=0, description="keep users and items with at least k events, repeatedly; 0 keeps all")


class SyntheticWorld(Section):
    """Users with a long-term taste and a short-term intent (see docs/synthetic_world.md)."""

    users: int = Field(2000, ge=1, description="users of the log")
    items: int = Field(1000, ge=10, description="items of the catalogue")
    events_per_user: float = Field(100, gt=0, description="mean length of a user's whole log")
    days: float = Field(4, gt=0, description="calendar length of the log")
    freshness: Share = Field(0.85, description="how much the newest items tell about the next; 0: nothing")
    genres: int = Field(10, ge=1, description="genres of items; a user's taste is over these")
    styles: int = Field(6, ge=1, description="finer attributes, shared by all genres")
    series_length: int = Field(10, ge=1, description="items of a series, and of a maker's works, about")
    popularity_exponent: float = Field(0.8, ge=0, description="Zipf exponent of item popularity")
    session_length: float = Field(8, ge=1, description="mean events a session")
    event_gap: Seconds = Field(30.0, gt=0, description="median pause between two events of a session")
    peak_hour: float = Field(20, ge=0, lt=24, description="hour (UTC) at which most sessions start")
    peak_to_mean: float = Field(2.0, ge=1, le=4, description="rate of sessions at the peak over the day's mean")
    intent_drift: Share = Field(0.1, description="chance, per event, that the session's intent moves on")
    resume: Share = Field(0.5, description="share of new intents that go back to a series left earlier")
    off_taste: Share = Field(0.1, description="share of new intents that ignore the user's taste")
    noise: Share = Field(0.02, description="share of events drawn from popularity alone")
    repeats: Share = Field(0.0, description="share of events that go back to one of the user's earlier items")
    seed: int = Field(1, ge=0, description="of the world alone; another `seed` above leaves the log as it is")


class GlobalTimeSplit(Section):
    """Everything before one moment is for learning; what follows is streamed."""

    kind: Literal["global_time"] = "global_time"
    at: float | str = Field(0.8, description="share of events before the cut, or an ISO time")
    min_history: int = Field(5, ge=1, description="events a user must have had before the first streamed one")


class PerUserSplit(Section):
    """Each user's last events are streamed; later events of other users may precede them in training."""

    kind: Literal["per_user"] = "per_user"
    last: int = Field(20, ge=1, description="events of each user that are streamed")
    min_history: int = Field(5, ge=1, description="events a user must have before the first streamed one")


Split = Annotated[GlobalTimeSplit | PerUserSplit, _kind()]


class ReplayArrivals(Section):
    """The log's own times."""

    kind: Literal["replay"] = "replay"
    time_scale: float = Field(1.0, gt=0, description="0.1 makes pauses ten times shorter")
    scale: Literal["pauses", "all"] = Field("pauses", description="what is scaled: gaps over `pause`, or every gap")
    pause: Seconds = Field(1800.0, description="gaps longer than this are pauses")
    shift: Literal["none", "uniform"] = Field("none", description="uniform: each user starts at a moment of its own")


class PoissonArrivals(Section):
    """Interactions at random moments; the items keep the log's order."""

    kind: Literal["poisson"] = "poisson"
    per_day: float = Field(30, gt=0, description="interactions per device and day")


class DiurnalArrivals(Section):
    """Interactions at random moments that follow the day; the items keep the log's order."""

    kind: Literal["diurnal"] = "diurnal"
    per_day: float = Field(30, gt=0, description="interactions per device and day")
    peak_hour: float = Field(20, ge=0, lt=24, description="hour of the day (UTC) with the highest rate")
    peak_to_mean: float = Field(2.0, ge=1, le=4, description="rate at the peak over the day's mean")


class SessionArrivals(Section):
    """Bursts of interactions that follow the day; the items keep the log's order."""

    kind: Literal["sessions"] = "sessions"
    per_day: float = Field(4, gt=0, description="sessions per device and day")
    events: float = Field(8, ge=1, description="mean interactions a session")
    gap: Seconds = Field(20.0, description="median gap inside a session")
    peak_hour: float = Field(20, ge=0, lt=24, description="hour of the day (UTC) at which most sessions start")
    peak_to_mean: float = Field(2.0, ge=1, le=4, description="rate of sessions at the peak over the day's mean")


Arrivals = Annotated[ReplayArrivals | PoissonArrivals | DiurnalArrivals | SessionArrivals, _kind()]


class Workload(Section):
    """The interactions that devices replay."""

    interactions: Literal["synthetic"] | LogFile = Field(
        "synthetic", description="the built-in world, or a log on disk"
    )
    synthetic: SyntheticWorld = SyntheticWorld()
    split: Split = Field(GlobalTimeSplit(), description="what is learnt from, and what is streamed")
    arrivals: Arrivals = Field(ReplayArrivals(), description="when the streamed interactions happen")
    exclude_seen: bool = Field(True, description="items the user has had leave every slate at display")


# ---------------------------------------------------------------------------------------------- fleet


class ConstantLink(Section):
    """The same latency and bandwidth for every message."""

    kind: Literal["constant"] = "constant"
    rtt: Seconds = Field(0.05, description="round-trip time of an empty message")
    up: BitsPerSecond = Field(10e6, description="bandwidth from the device to the cloud")
    down: BitsPerSecond = Field(50e6, description="bandwidth from the cloud to the device")
    loss: Share = Field(0.0, description="chance that a message is lost")
    radio_power: Watts = Field(1.0, description="extra power while the radio sends or receives")


class TraceLink(Section):
    """Bandwidth from a file of `seconds Mbit/s` lines, repeated."""

    kind: Literal["trace"] = "trace"
    path: str = Field(description="the trace; `${VARIABLE}` and `~` are expanded")
    rtt: Seconds = Field(0.05, description="round-trip time of an empty message")
    up_share: float = Field(0.25, gt=0, description="uplink bandwidth as a share of the trace's")
    loss: Share = Field(0.0, description="chance that a message is lost")
    radio_power: Watts = Field(1.2, description="extra power while the radio sends or receives")


class PresetLink(Section):
    """Fitted to measured data (docs/grounding.md); every device draws its own speed and latency."""

    kind: Literal["wifi", "lte", "5g", "3g"]
    loss: Share | None = Field(None, description="chance that a message is lost; the preset's own where not given")
    outage_every: Seconds | None = Field(None, description="mean time between outages; the preset's where not given")
    outage_length: Seconds | None = Field(None, description="mean length of an outage; the preset's where not given")


Link = Annotated[ConstantLink | TraceLink | PresetLink, _kind()]


class DeviceClass(Section):
    """One kind of device."""

    name: str = Field(min_length=1, description="names the class in every table; unique")
    share: Share = Field(description="share of the devices; the classes' shares add up to 1")
    speed: FlopsPerSecond = Field(17e9, description="effective FLOP/s of small-model inference")
    speed_spread: float = Field(0.2, ge=0, le=2, description="log-normal sigma of speed over the class's devices")
    overhead: Seconds = Field(0.002, description="fixed time of one inference call")
    power: Watts = Field(1.6, description="extra power while computing")
    battery: Joules | None = Field(None, description="energy this app may use in a run; none: no limit")
    memory: Bytes = Field(200e6, description="what this app may hold")
    link: Link = Field(PresetLink(kind="lte"), description="connection to the cloud")


class AlwaysOn(Section):
    """Every device is there for the whole run."""

    kind: Literal["always_on"] = "always_on"


class OnOff(Section):
    """Each device alternates exponential times online and offline, may join late and leave for good."""

    kind: Literal["on_off"] = "on_off"
    online: Seconds = Field(4 * 3600.0, gt=0, description="mean time online at a stretch")
    offline: Seconds = Field(3600.0, gt=0, description="mean time offline at a stretch")
    late_joiners: Share = Field(0.0, description="share of devices that join uniformly over the run")
    leavers: Share = Field(0.0, description="share of devices that leave for good, uniformly over the run")


class PresenceTrace(Section):
    """CSV of device,start_s,end_s: when each device is online. Before the first and after the last it is absent."""

    kind: Literal["trace"] = "trace"
    path: str = Field(description="the CSV; `${VARIABLE}` and `~` are expanded")


Churn = Annotated[AlwaysOn | OnOff | PresenceTrace, _kind()]


class Preloaded(Section):
    """The list each device starts with; `preloaded: false` for none."""

    lag: int = Field(0, ge=0, description="interactions that the preloaded list has not seen")


def default_classes() -> tuple[DeviceClass, ...]:
    """Three classes of phones (docs/grounding.md)."""
    return (
        DeviceClass(
            name="high_end",
            share=0.3,
            speed=33e9,
            speed_spread=0.16,
            overhead=0.001,
            power=2.0,
            link=PresetLink(kind="5g"),
        ),
        DeviceClass(
            name="mid_range",
            share=0.5,
            speed=17e9,
            speed_spread=0.17,
            overhead=0.002,
            power=1.6,
            link=PresetLink(kind="lte"),
        ),
        DeviceClass(
            name="low_end",
            share=0.2,
            speed=7.8e9,
            speed_spread=0.37,
            overhead=0.004,
            power=1.2,
            link=PresetLink(kind="3g"),
        ),
    )


class Fleet(Section):
    """The devices: how many, of which kinds, when they are there."""

    devices: int = Field(2000, ge=1, description="more devices than users: users are cloned")
    represents: int | None = Field(None, ge=1, description="size of the fleet that this one stands for")
    preloaded: Preloaded | Literal[False] = Preloaded()
    fallback: Literal["srm", "popular"] = Field("srm", description="the slate of a device without a list")
    classes: tuple[DeviceClass, ...] = Field(
        default_factory=default_classes, min_length=1, description="kinds of devices; each device belongs to one"
    )
    churn: Churn = Field(AlwaysOn(), description="when devices are there")
    when_empty: Literal["frozen", "miss"] = Field("frozen", description="out of battery: old slate stays, or a miss")


# ---------------------------------------------------------------------------------------------- models


class Training(Section):
    """How a model is trained."""

    seed: int = Field(
        1, ge=0, description="of weights, batches and negatives; another `seed` of the scenario does not retrain"
    )
    batch_size: int = Field(128, ge=1, description="windows of history in a step of the optimiser")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam (AdamW where `weight_decay` is not 0)")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of activations dropped in training")
    negatives: int = Field(4, ge=1, description="uniform negatives per positive, for bce")
    patience: int = Field(3, ge=1, description="epochs without better validation NDCG@10 before it stops")


class Srm(Section):
    """The small recommendation model on each device."""

    kind: Literal["sasrec", "gru4rec", "din"] = Field(
        "sasrec", description="the small model: self-attention, a recurrent network, or target attention"
    )
    dim: int = Field(64, ge=4, le=128, description="size of item and state vectors")
    layers: int = Field(2, ge=1, le=8, description="encoder blocks (sasrec) or recurrent layers (gru4rec)")
    heads: int = Field(2, ge=1, description="attention heads (sasrec); must divide `dim`")
    max_length: int = Field(50, ge=2, description="longest history window, in items")
    loss: Literal["full_softmax", "bce"] = Field(
        "full_softmax",
        description="softmax over the catalogue, or binary cross-entropy with sampled negatives (din: this one only)",
    )
    epochs: int = Field(20, ge=0, description="most passes over the training events; 0 leaves the model untrained")
    item_table: Literal["on_device", "with_list"] = Field(
        "on_device", description="item vectors are installed with the model, or travel with each candidate list"
    )
    training: Training = Training()


class ItemLm(Section):
    """A causal language model (Llama architecture) whose tokens are the catalogue's items."""

    kind: Literal["item_lm"] = "item_lm"
    dim: int = Field(128, ge=8, le=1024, description="hidden size")
    layers: int = Field(2, ge=1, description="transformer layers")
    heads: int = Field(4, ge=1, description="attention heads; twice their number must divide `dim`")
    max_length: int = Field(100, ge=2, description="longest history window, in items")
    epochs: int = Field(6, ge=0, description="most passes over the training events; 0 leaves the model untrained")
    item_text: bool = Field(True, description="items share embeddings of their attributes where the log has them")
    checkpoint: str | None = Field(None, description="folder of a saved Hugging Face causal LM, instead of training")
    training: Training = Training(batch_size=32, learning_rate=3e-3, weight_decay=0.01)


class CandidateTable(Section):
    """The user's own LLM's answers: Parquet of user_id, as_of or as_of_time, item_id, rank or score."""

    kind: Literal["table"] = "table"
    path: str = Field(description="the Parquet file; `${VARIABLE}` and `~` are expanded")
    missing: Literal["error", "previous", "fail_request"] = Field(
        "error",
        description="no list for (user, as_of): the run ends, the newest older list serves, or the request fails",
    )
    max_invalid: Share = Field(0.05, description="share of unknown items above which the table is refused")


Candidates = Annotated[ItemLm | CandidateTable, _kind()]


class Prompt(Section):
    """What a request's prompt holds, in tokens."""

    instruction_tokens: int = Field(60, ge=0, description="tokens of the prompt that are the same in every request")
    tokens_per_item: float = Field(8, gt=0, description="tokens that one item of the history takes")
    history: int = Field(100, ge=1, description="newest items that the prompt holds")


class Llm(Section):
    """The LLM recommender: where its candidate lists come from and what they cost to make."""

    candidates: Candidates = Field(ItemLm(), description="the model whose lists are shown")
    list_length: int = Field(50, ge=1, le=1000, description="candidates in a list")
    served_as: str | None = Field(None, description="catalogue model whose speed is charged; none: the model itself")
    prompt: Prompt = Prompt()
    generation: Literal["list", "beam", "score"] = Field(
        "list", description="how the LLM answers: writes the list, searches with beams, or scores given candidates"
    )
    beams: int = Field(50, ge=1, description="beams of `generation: beam`")
    output_tokens_per_item: float = Field(8, gt=0, description="tokens that one item of the answer takes")


class Slo(Section):
    """The service-level objective that the provisioned account must meet."""

    p95_latency: Seconds = Field(1.0, description="95% of the requests should be answered within this")


class Cloud(Section):
    """The GPUs that serve the LLM."""

    gpu: str = Field("h100", description="a GPU of the catalogue")
    replicas: int = Field(1, ge=1, description="copies of the LLM that serve requests")
    gpus_per_replica: int = Field(1, ge=1, description="GPUs that hold one copy (tensor parallel)")
    cpu_cores: int = Field(4, ge=1, description="cores that answer where the slate is cloud_srm")
    slots: int = Field(16, ge=1, description="requests that one replica serves at once")
    queue_limit: int = Field(1000, ge=0, description="waiting requests above which new ones are rejected")
    request_timeout: Seconds = Field(10.0, gt=0, description="an answer that takes longer is given up")
    slo: Slo = Slo()
    stores: Literal["none", "history", "lists"] = Field("none", description="what the cloud keeps of each user")


# ---------------------------------------------------------------------------------------------- policy


class NeverRequest(Section):
    """No requests: the preloaded list is all a device ever has."""

    kind: Literal["never"] = "never"


class AlwaysRequest(Section):
    """A request at every decision."""

    kind: Literal["always"] = "always"


class EveryRequest(Section):
    """A request at regular intervals."""

    kind: Literal["every"] = "every"
    n: int = Field(5, ge=1, description="a request at every n-th interaction of the device")


class RandomRequest(Section):
    """A coin at every decision."""

    kind: Literal["random"] = "random"
    ratio: Share = Field(0.2, description="chance of a request at each decision")


class StalenessRequest(Section):
    """A request when the list is old, by exactly one of `threshold` and `age`."""

    kind: Literal["staleness"] = "staleness"
    threshold: int | None = Field(None, ge=1, description="interactions the list has not seen")
    age: Seconds | None = Field(None, description="age of the list in time")


class InconsistencyRequest(Section):
    """A request when the SRM's and the LLM's orders disagree (LSC4Rec), by exactly one of `ratio` and `threshold`."""

    kind: Literal["inconsistency"] = "inconsistency"
    ratio: Share | None = Field(None, description="wanted share; the threshold is calibrated before the stream")
    threshold: float | None = Field(None, ge=0, description="score at or above which the device asks")


class SessionStartRequest(Section):
    """A request at the first interaction after a pause."""

    kind: Literal["session_start"] = "session_start"
    gap: Seconds = Field(1800.0, description="a pause at least this long starts a session")


class CloudPush(Section):
    """The cloud refreshes every list off-peak, unasked."""

    kind: Literal["cloud_push"] = "cloud_push"
    every: Seconds = Field(86400.0, gt=0, description="period of the refreshes")
    at: Seconds = Field(4 * 3600.0, description="start of the off-peak window, from each period's start")
    window: Seconds = Field(2 * 3600.0, description="pushes are spread over this long")


RequestPolicy = Annotated[
    NeverRequest
    | AlwaysRequest
    | EveryRequest
    | RandomRequest
    | StalenessRequest
    | InconsistencyRequest
    | SessionStartRequest
    | CloudPush,
    _kind(),
]


class Budget(Section):
    """A token bucket: each decision earns `ratio` tokens, a request costs one, at most `burst` are kept."""

    ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="tokens earned by a decision, so the largest share of decisions that may ask; 1: no limit",
    )
    scope: Literal["device", "fleet"] = Field("fleet", description="one bucket for the fleet, or one for each device")
    burst: float | None = Field(None, ge=0, description="none: 3 for a device, 5% of the devices for the fleet")


Score = Literal["sigmoid", "list_softmax", "zscore", "rank"]


class LlmOnly(Section):
    """The LLM's order."""

    kind: Literal["llm_only"] = "llm_only"


class SrmOnly(Section):
    """The SRM's order of the LLM's candidates."""

    kind: Literal["srm_only"] = "srm_only"


class LinearFusion(Section):
    """LLM rank plus weighted SRM score."""

    kind: Literal["linear"] = "linear"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's score beside the LLM's rank")
    score: Score = Field("rank", description="how the SRM's logits become scores; sigmoid needs `srm.loss: bce`")


class GatedFusion(Section):
    """LLM rank plus the SRM's score where that is sure."""

    kind: Literal["gated"] = "gated"
    gate: float = Field(0.4, ge=0, le=0.5, description="SRM scores closer to 0.5 than this are ignored")
    score: Score = Field("rank", description="how the SRM's logits become scores; sigmoid needs `srm.loss: bce`")


class ReciprocalRankFusion(Section):
    """Weighted sum of both reciprocal ranks."""

    kind: Literal["reciprocal_rank"] = "reciprocal_rank"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's reciprocal rank beside the LLM's")
    constant: float = Field(60, gt=0, description="added to each rank before its reciprocal is taken")


Fusion = Annotated[LlmOnly | SrmOnly | LinearFusion | GatedFusion | ReciprocalRankFusion, _kind()]

SlateKind = Literal["llm", "srm", "both", "cloud_srm", "popular", "recent", "frequent", "markov"]


class Policy(Section):
    """When devices ask, how both orders become a slate, and what the user waits for."""

    request: RequestPolicy = Field(AlwaysRequest(), description="when a device wants a new list")
    budget: Budget = Budget()
    decide_at: Literal["both", "join", "interaction"] = Field("both", description="moments at which a device decides")
    when_offline: Literal["fail", "wait"] = Field(
        "fail", description="a request while offline fails at once, or waits for the link"
    )
    fusion: Fusion = Field(LinearFusion(), description="how the LLM's order and the SRM's scores make the slate")
    slate: SlateKind = Field(
        "llm",
        description="the LLM's list re-ranked, the SRM alone over the catalogue, both joined, or a baseline",
    )
    mode: Literal["background", "blocking"] = Field(
        "background", description="the user goes on while a request runs, or the screen waits for it"
    )
    patience: Seconds = Field(2.0, description="how long a blocking screen waits for an answer")


# ---------------------------------------------------------------------------------------------- the rest


class Tariffs(Section):
    """Prices and carbon of what a run uses."""

    gpu_hour: float | None = Field(None, ge=0, description="USD; none: the catalogue's price")
    cpu_hour: float = Field(0.05, ge=0, description="USD per core-hour")
    gb_up: float = Field(0.0, ge=0, description="USD per GB from devices to the cloud")
    gb_down: float = Field(0.08, ge=0, description="USD per GB from the cloud to devices")
    energy_kwh: float = Field(0.0, ge=0, description="USD per kWh, where the GPU price does not include it")
    carbon: float | str = Field(400.0, description="gCO2 per kWh, or a CSV of time,gCO2/kWh")


class Metrics(Section):
    """What is evaluated."""

    k: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (5, 10, 20), min_length=1, description="cut-offs of HR, NDCG, MRR and precision"
    )


class Engine(Section):
    """How the simulation is computed; never what comes out."""

    batching: bool = Field(True, description="off: one job a call, through the same code, with identical results")
    lookahead: int = Field(8, ge=1, le=64, description="steps of a cached list that are scored at once")
    threads: int = Field(2, ge=1, description="PyTorch threads; part of the scenario, since sums depend on it")


class Scenario(Section):
    """A device fleet, its models, its cloud and its policy."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80, description="names the run's folder")
    description: str = Field("", description="one sentence for reports")
    seed: int = Field(
        1,
        ge=0,
        description="of devices, arrivals, links and policies; models and the synthetic log have seeds of their own",
    )
    duration: Seconds | None = Field(None, gt=0, description="simulated time; none: until the stream ends")
    workload: Workload = Workload()
    fleet: Fleet = Fleet()
    srm: Srm = Srm()
    llm: Llm = Llm()
    cloud: Cloud = Cloud()
    policy: Policy = Policy()
    tariffs: Tariffs = Tariffs()
    metrics: Metrics = Metrics()
    engine: Engine = Engine()
