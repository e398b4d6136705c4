"""What of a model travels to a phone, in numbers and in bytes."""

import numpy as np
import torch

from fleetrec.models.srm.deployment import MasterWeights, deploy, most_popular
from fleetrec.models.srm.gru4rec import Gru4Rec
from fleetrec.models.srm.trained import KeptModel
from fleetrec.models.srm.updating import known_data, newest_data
from tests.models.srm_cases import cycle_log

ITEMS, DIM = 12, 4
ALL = np.ones(ITEMS, dtype=bool)


def master(seed: int) -> MasterWeights:
    torch.manual_seed(seed)
    return MasterWeights(KeptModel.of(Gru4Rec(ITEMS, DIM, 6, 1, 0.0).eval().requires_grad_(False)), f"seed {seed}")


def encoder_size() -> int:
    model = master(0).model
    return sum(p.numel() for p in model.parameters()) - model.embedding.weight.numel()


def test_whole_weights_travel_as_they_are() -> None:
    one = master(1)
    sent = deploy(one, ALL)
    assert sent.model is one.model
    assert sent.content_hash == one.content_hash
    assert sent.push_bytes == 4 * encoder_size() + 4 * DIM * ITEMS


def test_a_table_holds_the_most_popular_items_that_somebody_has_had() -> None:
    counts = np.array([3, 0, 5, 1, 5])
    assert most_popular(counts, None).tolist() == [True, False, True, True, True]
    assert most_popular(counts, 2).tolist() == [False, False, True, False, True]
    known = most_popular(np.r_[counts, np.zeros(ITEMS - 5, dtype=int)], 2)
    assert deploy(master(1), known, "int8").table_bytes == 2 * (DIM + 4)


def test_half_precision_rounds_every_weight_and_halves_the_bytes() -> None:
    one = master(1)
    sent = deploy(one, ALL, pushed="half")
    for name, weights in sent.model.named_parameters():
        assert torch.equal(weights, one.model.get_parameter(name).half().float())
    assert sent.push_bytes == 2 * encoder_size() + 2 * DIM * ITEMS


def test_eight_bits_are_within_half_a_step_of_a_rows_largest_number() -> None:
    one = master(1)
    exact, rounded = one.model.embedding.weight[1:], deploy(one, ALL, "int8").model.embedding.weight[1:]
    step = exact.abs().amax(dim=1, keepdim=True) / 127
    assert ((rounded - exact).abs() <= step / 2 + 1e-9).all()
    assert not torch.equal(rounded, exact)


def test_a_delta_moves_the_old_weights_near_the_new_ones_for_a_quarter_of_the_bytes() -> None:
    old, new = deploy(master(1), ALL), master(2)
    sent = deploy(new, ALL, pushed="delta", before=old)
    for name, weights in sent.model.named_parameters():
        change = (new.model.get_parameter(name) - old.model.get_parameter(name)).abs()
        assert (weights - new.model.get_parameter(name)).abs().max() <= change.max() / 254 + 1e-7
    assert sent.push_bytes < 0.6 * deploy(new, ALL).push_bytes  # rows are short here, and each has a scale


def test_a_row_that_stands_still_does_not_travel_in_a_delta() -> None:
    old = master(1)
    moved = MasterWeights(KeptModel.of(Gru4Rec(ITEMS, DIM, 6, 1, 0.0).eval().requires_grad_(False)), "moved")
    moved.model.load_state_dict(old.model.state_dict())
    moved.model.embedding.weight[3] += 0.5
    sent = deploy(moved, ALL, pushed="delta", before=deploy(old, ALL))
    assert sent.push_bytes == DIM + 8  # one byte a number, a scale and the row's number


def test_a_table_that_comes_with_lists_is_not_pushed() -> None:
    assert deploy(master(1), ALL, table_travels=False).push_bytes == 4 * encoder_size()


def test_the_newest_data_are_what_is_new_after_its_context() -> None:
    data = cycle_log(3, 20, 10)
    known = known_data(data, np.array([10, 6, 4]))
    newest = newest_data(known, np.array([8, 6, 0]), context=3)
    lengths = np.diff(newest.offsets).tolist()
    assert lengths == [5, 0, 4]
    assert newest.items[:5].tolist() == data.items[5:10].tolist()
    assert newest.items[5:].tolist() == data.items[20:24].tolist()
