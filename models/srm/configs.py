"""What training asks of a configuration: the sections of a scenario have these fields."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fleetrec.models.runtime.precision import Precision

if TYPE_CHECKING:
    from fleetrec.models.srm.base import SmallModel


class TrainingConfig(Protocol):
    """How a model is trained; the `training` section of a scenario has these fields."""

    @property
    def seed(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def dropout(self) -> float: ...
    @property
    def negatives(self) -> int: ...
    @property
    def patience(self) -> int: ...
    @property
    def softmax_precision(self) -> Precision: ...
    @property
    def encoder_precision(self) -> Precision: ...


class NetworkConfig(Protocol):
    """The size of a sequential network and how it is trained."""

    @property
    def dim(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def max_length(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def training(self) -> TrainingConfig: ...


class TrainingPlan(Protocol):
    """How long a network is trained, and on which loss."""

    @property
    def kind(self) -> str: ...
    @property
    def loss(self) -> str: ...
    @property
    def epochs(self) -> int: ...
    @property
    def training(self) -> TrainingConfig: ...


class SrmTrainingConfig(TrainingConfig, Protocol):
    """How a small model is trained before the stream."""

    @property
    def schedule(self) -> Literal["plateau", "linear"]: ...


class SrmConfig(TrainingPlan, Protocol):
    """What determines a small model; the kinds of a scenario's `srm` section are such."""

    @property
    def training(self) -> SrmTrainingConfig: ...

    @property
    def has_user_state(self) -> bool: ...

    def determinants(self) -> Mapping[str, Any]:
        """All but `training` that decides the weights, JSON-able: caches go by it."""
        ...

    def network(self, n_items: int, n_users: int) -> "SmallModel":
        """The untrained model; it draws its weights from PyTorch's current generator."""
        ...
