"""Weights in half precision and in 8 bits are those of a phone that holds them so."""

import numpy as np
import pytest
import torch

from fleetrec.models.export.narrow_weights import NarrowTable, NarrowWeights
from fleetrec.models.srm.deployment import MasterWeights, Precision, deploy
from fleetrec.models.srm.trained import KeptModel
from tests.models.srm_cases import Config


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_table_holds_the_numbers_that_the_simulated_phone_has(precision: Precision) -> None:
    model = Config("gru4rec").network(30, 2)
    master = MasterWeights(KeptModel.of(model), "")
    simulated = deploy(master, np.ones(30, dtype=np.bool_), precision).model.embedding.weight
    table = NarrowTable(model.embedding.weight, precision)
    rows = torch.tensor([[1, 30], [7, 0]])
    assert torch.equal(table(rows), simulated[rows])
    assert torch.equal(table.weight, simulated)
    assert table.rows.numbers.element_size() == {"float16": 2, "int8": 1}[precision]


def test_each_row_is_within_half_a_level_of_its_own_and_vectors_stay_whole() -> None:
    weights = torch.tensor([[1.27, -0.5], [12.7, 0.04]])
    assert (NarrowWeights(weights, "int8")() - weights).abs().max() <= 0.05
    assert (NarrowWeights(weights, "int8")() - weights)[0].abs().max() <= 0.005
    assert torch.equal(NarrowWeights(weights[0], "int8")(), weights[0])
