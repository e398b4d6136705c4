"""A run whose users react tells what they did, by whom, and judges predictions by what they found alone."""

from tests.simulator.reacting import reacting, run


def test_a_run_in_which_all_is_found_alone_has_the_accuracy_of_all_it_recorded() -> None:
    found = run(reacting(workload={"users": {"kind": "choice", "organic": 1.0}}))
    ranks = found.interactions["rank"]
    assert found.summary["engagement"]["slate_share"] == 0
    assert found.summary["accuracy"]["hr@10"] == ((ranks >= 0) & (ranks < 10)).mean()


def test_groups_add_up_to_the_run_and_its_note_says_who_its_users_are() -> None:
    found = run(reacting())
    whole, ways = found.summary["engagement"], found.summary["engagement_by"]
    assert {"class", "activity", "taste"} == set(ways)
    assert all(sum(group["choices"] for group in way.values()) == whole["choices"] > 0 for way in ways.values())
    told = {note.key: note.text for note in found.notes}
    assert "built-in world" in told["engagement"]
    assert "prediction" not in told
    assert found.summary["headline"].startswith("Users took")
