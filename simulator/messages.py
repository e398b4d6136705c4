"""What travels between a device and the cloud, in bytes."""

from dataclasses import dataclass

from models.errors import InputError
from models.srm.base import TrainedSrm
from simulator.scenario import sections

OVERHEAD_BYTES = 900.0
"""HTTP/2 headers, TLS record framing and acknowledgements of one message on a warm connection (an assumption)."""
ITEM_ID_BYTES = 8.0
VECTOR_ELEMENT_BYTES = 4.0


@dataclass(frozen=True)
class Messages:
    """Sizes of a request (history up) and its answer (candidate list down)."""

    history_items: int
    """newest items that a prompt holds"""
    cloud_keeps_history: bool
    answer_bytes: float

    def request_bytes(self, step: int, as_of: int) -> float:
        """Bytes up of a request at `step` from a device whose cached list is as of `as_of` (-1: no list).

        A cloud that keeps histories is sent only what is new since the list it last made for this device.
        """
        items = min(step + 1, self.history_items)
        if self.cloud_keeps_history and as_of >= 0:
            items = min(items, step - as_of)
        return OVERHEAD_BYTES + ITEM_ID_BYTES * items


def messages_of(llm: sections.Llm, srm: sections.Srm, cloud: sections.Cloud) -> Messages:
    """Message sizes of a scenario; with `item_table: with_list` each candidate's vector travels with its list."""
    per_item = ITEM_ID_BYTES
    if srm.item_table == "with_list":
        per_item += VECTOR_ELEMENT_BYTES * srm.dim
    return Messages(llm.prompt.history, cloud.stores != "none", OVERHEAD_BYTES + per_item * llm.list_length)


def install_bytes(scenario: sections.Scenario, srm: TrainedSrm, n_items: int) -> float:
    """Bytes of the SRM on a device: its encoder, and its item table where that lives on the device.

    InputError where a class of devices cannot hold it.
    """
    if scenario.policy.slate == "cloud_srm":
        return 0.0
    table = srm.item_bytes * (n_items if scenario.srm.item_table == "on_device" else scenario.llm.list_length)
    needed = float(srm.encoder_bytes + table)
    for cls in scenario.fleet.classes:
        if needed > cls.memory:
            raise InputError(
                f"fleet.classes {cls.name}: memory of {cls.memory:,.0f} bytes cannot hold the SRM and its item table, "
                f"{needed:,.0f} bytes; lower srm.dim, or set srm.item_table: with_list"
            )
    return needed if scenario.srm.item_table == "on_device" else float(srm.encoder_bytes)
