"""Every published form is read as it is published: rows of our own, in exactly that form."""

from pathlib import Path

import pytest

from fleetrec.simulator.scenario.sections.workload import RECIPES
from tests.simulator.workload.logs import events, load

# name: (file's name, content, settings beside `format`, the events it holds)
PUBLISHED = {
    "yoochoose": (
        "yoochoose-clicks.dat",
        "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,S\n2,2014-04-07T13:56:37Z,214662742,0\n",
        {},
        [("1", "214536502", 1396867869.277), ("1", "214536500", 1396868049.868), ("2", "214662742", 1396878997.0)],
    ),
    "movielens": (
        "ratings.dat",
        "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n",
        {},
        [("1", "1193", 978300760.0), ("1", "661", 978302109.0), ("2", "1193", 978298413.0)],
    ),
    "recbole": (
        "shop.inter",
        'user_id:token\titem_id:token\trating:float\ttimestamp:float\na\t"One\t4\t1600000000\nb\tTwo"\t5\t1600000060\n',
        {},
        [("a", '"One', 1600000000.0), ("b", 'Two"', 1600000060.0)],
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_published_form_is_read_with_its_users_items_and_times(tmp_path: Path, name: str) -> None:
    file, content, settings, expected = PUBLISHED[name]
    assert events(load(tmp_path / file, content, format=name, **settings)) == expected
