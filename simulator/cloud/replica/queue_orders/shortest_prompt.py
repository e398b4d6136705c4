"""By the length of prompts."""

from typing import Literal

from fleetrec.simulator.scenario.sections.queue_order import QueueOrder, WaitingView


class ShortestPrompt(QueueOrder):
    """The shortest prompt first."""

    kind: Literal["shortest_prompt"] = "shortest_prompt"

    def key(self, request: WaitingView) -> float:
        return request.prompt_tokens
