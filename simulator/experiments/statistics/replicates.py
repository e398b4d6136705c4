"""What a variant was run anew with: worlds (the seeds of a scenario), trainings of its models, or both, crossed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Replicates:
    """The runs of each variant: every world with every training, worlds outermost.

    worlds: the scenario's seeds. trainings: seeds of the models; none where the models are those of the scenario.
    """

    worlds: tuple[int, ...]
    trainings: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.worlds) * self.n_trainings

    @property
    def n_trainings(self) -> int:
        """How many sets of models there are: one where training was not replicated."""
        return max(len(self.trainings), 1)

    @property
    def sources(self) -> list[str]:
        """What varies from run to run, beside users."""
        return [
            *(["seeds"] if len(self.worlds) > 1 else []),
            *(["trainings"] if self.n_trainings > 1 else []),
        ]

    def generalises_to(self, users: bool) -> str:
        """For what an interval holds that contains these replications, and the sampling of users or not."""
        new = [
            *(["users"] if users else []),
            *(["worlds"] if len(self.worlds) > 1 else []),
            *(["trainings"] if self.n_trainings > 1 else []),
        ]
        text = " and ".join([", ".join(f"new {what}" for what in new[:-1]), f"new {new[-1]}"] if new[1:] else [])
        text = text or f"new {new[0]}"
        if len(self.worlds) == 1:
            text += f" in the world of seed {self.worlds[0]}"
        return text if users else f"{text} of this log's users"
