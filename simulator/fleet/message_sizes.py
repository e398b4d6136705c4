"""What travels between a device and the cloud, in bytes."""

from collections.abc import Iterable
from dataclasses import dataclass

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.srm.deployment import Deployed, item_bytes
from fleetrec.simulator.scenario import sections

OVERHEAD_BYTES = 900.0
"""HTTP/2 headers, TLS record framing and acknowledgements of one message on a warm connection (an assumption)."""
ITEM_ID_BYTES = 8.0


@dataclass(frozen=True)
class Messages:
    """Sizes of a request (history up) and its answer (candidate list down)."""

    history_items: int
    """newest items that a prompt holds"""
    cloud_keeps_history: bool
    answer_bytes: float

    def request_bytes(self, step: int, as_of: int, lacking: int = 0) -> float:
        """Bytes up of a request at `step` from a device whose cached list is as of `as_of` (-1: no list).

        A cloud that keeps histories is sent only what is new since the list it last made for this device. One that
        learns from the stream is sent the `lacking` items that it does not have yet, however many.
        """
        items = min(step + 1, self.history_items)
        if self.cloud_keeps_history and as_of >= 0:
            items = min(items, step - as_of)
        return self.history_bytes(max(items, lacking))

    def history_bytes(self, items: int) -> float:
        """Bytes of so many interactions."""
        return OVERHEAD_BYTES + ITEM_ID_BYTES * items


def messages_of(llm: sections.Llm, srm: sections.Srm, cloud: sections.Cloud) -> Messages:
    """Message sizes of a scenario; with `item_table: with_list` each candidate's vector travels with its list."""
    per_item = ITEM_ID_BYTES
    if isinstance(srm.item_table, sections.WithListTable):
        per_item += item_bytes(srm.dim, srm.item_table.precision)
    return Messages(llm.prompt.history, cloud.stores != "none", OVERHEAD_BYTES + per_item * llm.list_length)


def install_bytes(slate: sections.Slate, table: sections.ItemTable, srm: Deployed) -> float:
    """Bytes of the SRM that are installed on a device: its encoder, and its item table where that lives there."""
    if slate.by_cloud_srm:
        return 0.0
    return srm.encoder_bytes + (srm.table_bytes if isinstance(table, sections.OnDeviceTable) else 0.0)


def held_bytes(
    classes: Iterable[sections.DeviceClass], update: sections.UpdateSchedule, installed: float, answer_bytes: float
) -> float:
    """Bytes that a device must hold: the SRM as `installed` and a candidate list; with a schedule that pushes weights,
    the new ones beside the old ones while it changes over. InputError where a class of devices cannot."""
    pushed = update.retraining is not None
    needed = installed * (2.0 if pushed else 1.0) + answer_bytes
    for cls in classes:
        if needed > cls.memory:
            text = ", a new version beside it" if pushed else ""
            raise InputError(
                f"fleet.classes {cls.name}: memory of {cls.memory:,.0f} bytes cannot hold the SRM, its item vectors"
                f"{text} and a list, {needed:,.0f} bytes; lower srm.dim, srm.item_table.top or "
                "srm.item_table.precision, or set srm.item_table: with_list"
            )
    return needed
