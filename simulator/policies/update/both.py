"""Updates of both kinds: the cloud retrains and pushes, devices adapt what they were pushed."""

from typing import ClassVar, Literal, Self

from fleetrec.simulator.scenario.sections.update import Adaptation, Retraining, UpdateSchedule


class BothUpdates(UpdateSchedule):
    """The cloud retrains and pushes; devices adapt what they were pushed."""

    kind: Literal["both"] = "both"
    fleet: Retraining = Retraining()
    on_device: Adaptation = Adaptation()

    fleet_key: ClassVar[str] = ".fleet"

    @property
    def retraining(self) -> Retraining:
        return self.fleet

    @property
    def adaptation(self) -> Adaptation:
        return self.on_device

    def trained_on(self, gpu: str) -> Self:
        fleet = self.fleet.model_copy(update={"gpu": self.fleet.gpu or gpu})
        return self.model_copy(update={"fleet": fleet})
