"""What wide beams add to a step: requests that decode many sequences over one prompt.

An engine for this load reads the prompt's context once a request and a little again for each further beam; one that
takes beams for requests does the host's work for each, and its candidates grow with the square of the width. All that
is the same at every step while a request decodes, so runs of steps keep their closed form.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Beams(NamedTuple):
    """The searches of a step: its requests with more than one sequence that decodes, of whatever widths."""

    searches: int
    further: int
    """sequences beyond the first of each"""
    squares: int
    """of their widths, added up"""
    again: int
    """tokens of their prompts, once for each further sequence"""

    def joined(self, prompt_tokens: int, width: int, sign: int = 1) -> "Beams":
        """With one search more; -1: with one less."""
        further = width - 1
        return Beams(
            self.searches + sign,
            self.further + sign * further,
            self.squares + sign * width * width,
            self.again + sign * further * prompt_tokens,
        )


NO_BEAMS = Beams(0, 0, 0, 0)


def beams_of(prompt_tokens: int, width: int, requests: int = 1) -> Beams:
    """So many requests of one width."""
    one = NO_BEAMS.joined(prompt_tokens, width) if width > 1 else NO_BEAMS
    return Beams(*(requests * count for count in one))


@dataclass(frozen=True)
class BeamCost:
    """Seconds that searches add to a step. Beams of the next step follow from this one's, so the host's work for them
    is hidden behind nothing: it is part of both lines."""

    step_s: float
    """of a step with any search"""
    search_s: float
    """of each"""
    square_s: float
    """of a width, squared"""
    host_beam_s: float
    """on the host's line, of each further beam: what it costs beyond a sequence of a request of its own"""
    gpu_beam_s: float
    """the same on the GPUs' line, the top of its logits included"""
    spared_s: float
    """of a prompt's token that a further beam does not read again, on the GPUs' line"""

    def at(self, beams: Beams) -> tuple[float, float]:
        """Seconds on the host's and on the GPUs' line."""
        if not beams.searches:
            return 0.0, 0.0
        both = self.step_s + self.search_s * beams.searches + self.square_s * beams.squares
        gpu = self.gpu_beam_s * beams.further - self.spared_s * beams.again
        return both + self.host_beam_s * beams.further, both + gpu
