"""Fleet updates: the cloud retrains and pushes."""

from typing import Literal, Self

from fleetrec.simulator.scenario.sections.update import Retraining, UpdateSchedule


class FleetUpdate(UpdateSchedule, Retraining):
    """The cloud retrains and pushes."""

    kind: Literal["fleet"] = "fleet"

    @property
    def retraining(self) -> Retraining:
        return self

    def trained_on(self, gpu: str) -> Self:
        return self.model_copy(update={"gpu": self.gpu or gpu})
