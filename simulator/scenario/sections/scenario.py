"""The whole scenario, and its sections that hold a few keys only."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section
from fleetrec.simulator.scenario.sections.cloud import Cloud
from fleetrec.simulator.scenario.sections.fleet import Fleet
from fleetrec.simulator.scenario.sections.llm import Llm
from fleetrec.simulator.scenario.sections.policy import Policy
from fleetrec.simulator.scenario.sections.regions import Region
from fleetrec.simulator.scenario.sections.srm import Srm
from fleetrec.simulator.scenario.sections.workload import Workload
from fleetrec.simulator.scenario.units import Seconds


class PriceRange(Section):
    """What the same thing costs at one provider and another, USD."""

    low: float = Field(ge=0, description="where it is cheapest")
    typical: float = Field(ge=0, description="what most pay")
    high: float = Field(ge=0, description="where it is dearest")

    def problem(self) -> str | None:
        """Why it is no range; None where it is one."""
        if self.low <= self.typical <= self.high:
            return None
        return f"{self.low:g}, {self.typical:g}, {self.high:g} is no range; low, typical and high must rise"


class Currency(Section):
    """In which money is told to people. Prices of a scenario and figures in files are in US dollars all the same."""

    code: str = Field("USD", description="as ISO 4217 has it: EUR")
    per_usd: float = Field(1.0, gt=0, description="how many of it are one US dollar; of USD 1")

    @property
    def sign(self) -> str:
        """What stands before an amount."""
        return {"USD": "$", "EUR": "€", "GBP": "£"}.get(self.code, f"{self.code} ")

    @property
    def label(self) -> str:
        """Its name on an axis or over a column."""
        return "US dollars" if self.code == "USD" else self.code


class Tariffs(Section):
    """Prices and carbon of what a run uses."""

    gpu_hour: Annotated[float, Field(ge=0)] | Literal["low", "typical", "high"] | PriceRange | None = Field(
        None, description="USD; low, typical or high of the catalogue's range; a range of your own; none: typical"
    )
    cpu_hour: float = Field(0.05, ge=0, description="USD per core-hour")
    gb_up: float = Field(0.0, ge=0, description="USD per GB from devices to the cloud")
    gb_down: float = Field(0.08, ge=0, description="USD per GB from the cloud to devices")
    energy_kwh: float = Field(0.0, ge=0, description="USD per kWh, where the GPU price does not include it")
    currency: Currency = Field(default_factory=Currency, description="in which money is told")
    carbon: float | str = Field(400.0, description="gCO2 per kWh, or a CSV of time,gCO2/kWh")


class Metrics(Section):
    """What is evaluated."""

    k: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (5, 10, 20), min_length=1, description="cut-offs of HR, NDCG, MRR and precision"
    )


class Engine(Section):
    """How the simulation is computed; never what comes out."""

    batching: bool = Field(True, description="off: one job a call, through the same code, with identical results")
    sleep: bool = Field(
        True,
        description="off: every interaction is an event of its own, with identical results; a budget of the fleet, "
        "which watches all devices, steps like that in any case",
    )
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
    workload: Workload = Field(default_factory=Workload)
    fleet: Fleet = Fleet()
    srm: Srm = Field(default_factory=Srm.family.default, description="the small model on each device")
    llm: Llm = Field(default_factory=Llm)
    cloud: Cloud = Field(default_factory=Cloud)
    regions: tuple[Region, ...] = Field(
        (), description="parts of the fleet with clouds of their own (docs/how-to/regions.md)"
    )
    policy: Policy = Field(default_factory=Policy)
    tariffs: Tariffs = Tariffs()
    metrics: Metrics = Metrics()
    engine: Engine = Engine()

    def trained_with(self, seed: int) -> Self:
        """The same, with every model that it trains trained with `seed`."""

        def with_seed(section: Any) -> Any:
            return section.model_copy(update={"training": section.training.model_copy(update={"seed": seed})})

        candidates, request = self.llm.candidates, self.policy.request
        changed: dict[str, Section] = {"srm": with_seed(self.srm)}
        if "training" in type(candidates).model_fields:
            changed["llm"] = self.llm.model_copy(update={"candidates": with_seed(candidates)})
        if request.trains:
            changed["policy"] = self.policy.model_copy(update={"request": request.model_copy(update={"seed": seed})})
        return self.model_copy(update=changed)
