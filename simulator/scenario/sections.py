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
    format: Literal["auto", "csv", "tsv", "parquet", "inter", "movielens_dat", "movielens_csv", "lines"] = "auto"
    on_error: Literal["fail", "skip"] = Field("fail", description="an unreadable row ends the run, or is counted")
    k_core: int = Field(0, ge=0, description="keep users and items with at least k events, repeatedly; 0 keeps all")


class SyntheticWorld(Section):
    """Users with a long-term taste and a short-term intent (see docs/synthetic_world.md)."""

    users: int = Field(2000, ge=1)
    items: int = Field(2000, ge=10)
    events_per_user: float = Field(80, gt=0, description="mean length of a user's whole log")
    days: float = Field(30, gt=0, description="calendar length of the log")
    freshness: Share = Field(0.7, description="how much the newest items tell about the next; 0: nothing")
    genres: int = Field(20, ge=1)
    popularity_exponent: float = Field(0.8, ge=0, description="Zipf exponent of item popularity inside a genre")
    session_length: float = Field(8, ge=1, description="mean events a session")
    intent_drift: Share = Field(0.1, description="chance, per event, that the session's intent moves on")
    seed: int = 1


class GlobalTimeSplit(Section):
    """Everything before one moment is for learning; what follows is streamed."""

    kind: Literal["global_time"] = "global_time"
    at: float | str = Field(0.8, description="share of events before the cut, or an ISO time")
    min_history: int = Field(5, ge=1, description="events a user must have had before the first streamed one")


class PerUserSplit(Section):
    """Each user's last events are streamed; later events of other users may precede them in training."""

    kind: Literal["per_user"] = "per_user"
    last: int = Field(20, ge=1)
    min_history: int = Field(5, ge=1)


Split = Annotated[GlobalTimeSplit | PerUserSplit, _kind()]


class ReplayArrivals(Section):
    """The log's own times."""

    kind: Literal["replay"] = "replay"
    time_scale: float = Field(1.0, gt=0, description="0.1 makes pauses ten times shorter")
    scale: Literal["pauses", "all"] = Field("pauses", description="what is scaled: gaps over `pause`, or every gap")
    pause: Seconds = 1800.0
    shift: Literal["none", "uniform"] = Field("none", description="uniform: each user starts at a moment of its own")


class PoissonArrivals(Section):
    kind: Literal["poisson"] = "poisson"
    per_day: float = Field(30, gt=0, description="interactions per device and day")


class DiurnalArrivals(Section):
    kind: Literal["diurnal"] = "diurnal"
    per_day: float = Field(30, gt=0)
    peak_hour: float = Field(20, ge=0, lt=24)
    peak_to_mean: float = Field(2.0, ge=1, le=4)


class SessionArrivals(Section):
    kind: Literal["sessions"] = "sessions"
    per_day: float = Field(4, gt=0, description="sessions per device and day")
    events: float = Field(8, ge=1, description="mean interactions a session")
    gap: Seconds = Field(20.0, description="median gap inside a session")
    peak_hour: float = Field(20, ge=0, lt=24)
    peak_to_mean: float = Field(2.0, ge=1, le=4)


Arrivals = Annotated[ReplayArrivals | PoissonArrivals | DiurnalArrivals | SessionArrivals, _kind()]


class Workload(Section):
    interactions: Literal["synthetic"] | LogFile = "synthetic"
    synthetic: SyntheticWorld = SyntheticWorld()
    split: Split = GlobalTimeSplit()
    arrivals: Arrivals = ReplayArrivals()
    exclude_seen: bool = Field(True, description="items the user has had leave every slate at display")


# ---------------------------------------------------------------------------------------------- fleet


class ConstantLink(Section):
    kind: Literal["constant"] = "constant"
    rtt: Seconds = 0.05
    up: BitsPerSecond = 10e6
    down: BitsPerSecond = 50e6
    loss: Share = 0.0
    radio_power: Watts = 1.0


class TraceLink(Section):
    """Bandwidth from a file of `seconds Mbit/s` lines, repeated."""

    kind: Literal["trace"] = "trace"
    path: str
    rtt: Seconds = 0.05
    up_share: float = Field(0.25, gt=0, description="uplink bandwidth as a share of the trace's")
    loss: Share = 0.0
    radio_power: Watts = 1.2


class PresetLink(Section):
    """Fitted to measured data (docs/grounding.md); every device draws its own speed and latency."""

    kind: Literal["wifi", "lte", "5g", "3g"]
    loss: Share | None = Field(None, description="chance that a message is lost; the preset's own where not given")
    outage_every: Seconds | None = Field(None, description="mean time between outages; the preset's where not given")
    outage_length: Seconds | None = None


Link = Annotated[ConstantLink | TraceLink | PresetLink, _kind()]


class DeviceClass(Section):
    name: str = Field(min_length=1)
    share: Share
    speed: FlopsPerSecond = Field(6e9, description="effective FLOP/s of small-model inference")
    speed_spread: float = Field(0.2, ge=0, le=2, description="log-normal sigma of speed over the class's devices")
    overhead: Seconds = Field(0.004, description="fixed time of one inference call")
    power: Watts = Field(2.0, description="extra power while computing")
    battery: Joules | None = Field(None, description="energy this app may use in a run; none: no limit")
    memory: Bytes = Field(200e6, description="what this app may hold")
    link: Link = PresetLink(kind="lte")


class AlwaysOn(Section):
    kind: Literal["always_on"] = "always_on"


class OnOff(Section):
    """Each device alternates exponential times online and offline, may join late and leave for good."""

    kind: Literal["on_off"] = "on_off"
    online: Seconds = Field(4 * 3600.0, gt=0)
    offline: Seconds = Field(3600.0, gt=0)
    late_joiners: Share = Field(0.0, description="share of devices that join uniformly over the run")
    leavers: Share = Field(0.0, description="share of devices that leave for good, uniformly over the run")


class PresenceTrace(Section):
    """CSV of device,start_s,end_s: when each device is online. Before the first and after the last it is absent."""

    kind: Literal["trace"] = "trace"
    path: str


Churn = Annotated[AlwaysOn | OnOff | PresenceTrace, _kind()]


class Preloaded(Section):
    lag: int = Field(0, ge=0, description="interactions that the preloaded list has not seen")


def default_classes() -> tuple[DeviceClass, ...]:
    """Three classes of phones (docs/grounding.md)."""
    return (
        DeviceClass(name="high_end", share=0.3, speed=20e9, overhead=0.002, power=3.0, link=PresetLink(kind="5g")),
        DeviceClass(name="mid_range", share=0.5, speed=8e9, overhead=0.004, power=2.2, link=PresetLink(kind="lte")),
        DeviceClass(name="low_end", share=0.2, speed=2e9, overhead=0.010, power=1.5, link=PresetLink(kind="3g")),
    )


class Fleet(Section):
    devices: int = Field(2000, ge=1, description="more devices than users: users are cloned")
    represents: int | None = Field(None, ge=1, description="size of the fleet that this one stands for")
    preloaded: Preloaded | Literal[False] = Preloaded()
    fallback: Literal["srm", "popular"] = Field("srm", description="the slate of a device without a list")
    classes: tuple[DeviceClass, ...] = Field(default_factory=default_classes, min_length=1)
    churn: Churn = AlwaysOn()
    when_empty: Literal["frozen", "miss"] = Field("frozen", description="out of battery: old slate stays, or a miss")


# ---------------------------------------------------------------------------------------------- models


class Training(Section):
    seed: int = 1
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    dropout: float = Field(0.2, ge=0, lt=1)
    negatives: int = Field(4, ge=1, description="uniform negatives per positive, for bce")
    patience: int = Field(3, ge=1, description="epochs without better validation NDCG@10 before it stops")


class Srm(Section):
    kind: Literal["sasrec", "gru4rec", "din"] = "sasrec"
    dim: int = Field(64, ge=4, le=128)
    layers: int = Field(2, ge=1, le=8)
    heads: int = Field(2, ge=1)
    max_length: int = Field(50, ge=2, description="longest history window, in items")
    loss: Literal["full_softmax", "bce"] = "full_softmax"
    epochs: int = Field(20, ge=0)
    item_table: Literal["on_device", "with_list"] = "on_device"
    training: Training = Training()


class ItemLm(Section):
    """A causal language model (Llama architecture) whose tokens are the catalogue's items."""

    kind: Literal["item_lm"] = "item_lm"
    dim: int = Field(128, ge=8, le=1024)
    layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    max_length: int = Field(200, ge=2)
    epochs: int = Field(20, ge=0)
    item_text: bool = Field(True, description="items share embeddings of their attributes where the log has them")
    checkpoint: str | None = Field(None, description="folder of a saved Hugging Face causal LM, instead of training")
    training: Training = Training(batch_size=64)


class CandidateTable(Section):
    """The user's own LLM's answers: Parquet of user_id, as_of or as_of_time, item_id, rank or score."""

    kind: Literal["table"] = "table"
    path: str
    missing: Literal["error", "previous", "fail_request"] = "error"
    max_invalid: Share = Field(0.05, description="share of unknown items above which the table is refused")


Candidates = Annotated[ItemLm | CandidateTable, _kind()]


class Prompt(Section):
    instruction_tokens: int = Field(60, ge=0)
    tokens_per_item: float = Field(8, gt=0, description="tokens that one item of the history takes")
    history: int = Field(100, ge=1, description="newest items that the prompt holds")


class Llm(Section):
    candidates: Candidates = ItemLm()
    list_length: int = Field(50, ge=1, le=1000)
    served_as: str | None = Field(None, description="catalogue model whose speed is charged; none: the model itself")
    prompt: Prompt = Prompt()
    generation: Literal["list", "beam", "score"] = "list"
    beams: int = Field(50, ge=1)
    output_tokens_per_item: float = Field(8, gt=0)


class Slo(Section):
    p95_latency: Seconds = 1.0


class Cloud(Section):
    gpu: str = Field("h100", description="a GPU of the catalogue")
    replicas: int = Field(1, ge=1)
    gpus_per_replica: int = Field(1, ge=1)
    slots: int = Field(16, ge=1, description="requests that one replica serves at once")
    queue_limit: int = Field(1000, ge=0, description="waiting requests above which new ones are rejected")
    request_timeout: Seconds = Field(10.0, gt=0)
    slo: Slo = Slo()
    stores: Literal["none", "history", "lists"] = Field("none", description="what the cloud keeps of each user")


# ---------------------------------------------------------------------------------------------- policy


class NeverRequest(Section):
    kind: Literal["never"] = "never"


class AlwaysRequest(Section):
    kind: Literal["always"] = "always"


class EveryRequest(Section):
    kind: Literal["every"] = "every"
    n: int = Field(5, ge=1, description="a request at every n-th interaction of the device")


class RandomRequest(Section):
    kind: Literal["random"] = "random"
    ratio: Share = 0.2


class StalenessRequest(Section):
    kind: Literal["staleness"] = "staleness"
    threshold: int | None = Field(None, ge=1, description="interactions the list has not seen")
    age: Seconds | None = Field(None, description="age of the list in time")


class InconsistencyRequest(Section):
    kind: Literal["inconsistency"] = "inconsistency"
    ratio: Share | None = Field(None, description="wanted share; the threshold is calibrated before the stream")
    threshold: float | None = Field(None, ge=0)


class SessionStartRequest(Section):
    kind: Literal["session_start"] = "session_start"
    gap: Seconds = Field(1800.0, description="a pause at least this long starts a session")


class CloudPush(Section):
    """The cloud refreshes every list off-peak, unasked."""

    kind: Literal["cloud_push"] = "cloud_push"
    every: Seconds = Field(86400.0, gt=0)
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

    ratio: float = Field(1.0, ge=0, le=1)
    scope: Literal["device", "fleet"] = "fleet"
    burst: float | None = Field(None, ge=0, description="none: 3 for a device, 5% of the devices for the fleet")


Score = Literal["sigmoid", "list_softmax", "zscore", "rank"]


class LlmOnly(Section):
    kind: Literal["llm_only"] = "llm_only"


class SrmOnly(Section):
    kind: Literal["srm_only"] = "srm_only"


class LinearFusion(Section):
    kind: Literal["linear"] = "linear"
    srm_weight: float = Field(1.0, ge=0)
    score: Score = "rank"


class GatedFusion(Section):
    kind: Literal["gated"] = "gated"
    gate: float = Field(0.4, ge=0, le=0.5)
    score: Score = "rank"


class ReciprocalRankFusion(Section):
    kind: Literal["reciprocal_rank"] = "reciprocal_rank"
    srm_weight: float = Field(1.0, ge=0)
    constant: float = Field(60, gt=0)


Fusion = Annotated[LlmOnly | SrmOnly | LinearFusion | GatedFusion | ReciprocalRankFusion, _kind()]

SlateKind = Literal["llm", "srm", "both", "cloud_srm", "popular", "recent", "frequent", "markov"]


class Policy(Section):
    request: RequestPolicy = AlwaysRequest()
    budget: Budget = Budget()
    decide_at: Literal["both", "join", "interaction"] = Field("both", description="moments at which a device decides")
    when_offline: Literal["fail", "wait"] = "fail"
    fusion: Fusion = LinearFusion()
    slate: SlateKind = "llm"
    mode: Literal["background", "blocking"] = "background"
    patience: Seconds = Field(2.0, description="how long a blocking screen waits for an answer")


# ---------------------------------------------------------------------------------------------- the rest


class Tariffs(Section):
    gpu_hour: float | None = Field(None, ge=0, description="USD; none: the catalogue's price")
    cpu_hour: float = Field(0.05, ge=0, description="USD per core-hour")
    gb_up: float = Field(0.0, ge=0, description="USD per GB from devices to the cloud")
    gb_down: float = Field(0.08, ge=0, description="USD per GB from the cloud to devices")
    energy_kwh: float = Field(0.0, ge=0, description="USD per kWh, where the GPU price does not include it")
    carbon: float | str = Field(400.0, description="gCO2 per kWh, or a CSV of time,gCO2/kWh")


class Metrics(Section):
    k: tuple[Annotated[int, Field(ge=1)], ...] = Field((5, 10, 20), min_length=1)


class Engine(Section):
    """How the simulation is computed; never what comes out."""

    batching: bool = Field(True, description="off: one job a call, through the same code, with identical results")
    lookahead: int = Field(8, ge=1, le=64, description="steps of a cached list that are scored at once")
    threads: int = Field(2, ge=1, description="PyTorch threads; part of the scenario, since sums depend on it")


class Scenario(Section):
    """A device fleet, its models, its cloud and its policy."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)
    description: str = ""
    seed: int = Field(1, ge=0)
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
