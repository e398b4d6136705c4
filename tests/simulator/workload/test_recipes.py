"""Every published form is read as it is published: rows of our own, in exactly that form."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fleetrec.simulator.scenario.sections.workload import RECIPES
from tests.simulator.workload.logs import events, load


def at(moment: str) -> float:
    return pd.Timestamp(moment).timestamp()


def parquet(columns: dict[str, Any]) -> bytes:
    held = io.BytesIO()
    pd.DataFrame(columns).to_parquet(held, index=False)
    return held.getvalue()


# name: (file's name, content, the events it holds)
PUBLISHED: dict[str, tuple[str, str | bytes, list[tuple[str, str, float]]]] = {
    "mind": (
        "behaviors.tsv",
        "1\tU13\t11/15/2019 8:55:12 AM\tN5 N7\tN55-1 N35-0\n2\tU13\t11/15/2019 10:05:02 PM\t\tN9-0 N8-1 N7-1\n",
        [
            ("U13", "N55", at("2019-11-15 08:55:12")),
            ("U13", "N8", at("2019-11-15 22:05:02")),
            ("U13", "N7", at("2019-11-15 22:05:02")),
        ],
    ),
    "yoochoose": (
        "yoochoose-clicks.dat",
        "1,2014-04-07T10:51:09.277Z,214536502,0\n"
        "1,2014-04-07T10:54:09.868Z,214536500,S\n"
        "2,2014-04-07T13:56:37Z,214662742,0\n",
        [("1", "214536502", 1396867869.277), ("1", "214536500", 1396868049.868), ("2", "214662742", 1396878997.0)],
    ),
    "diginetica": (
        "train-item-views.csv",
        "sessionId;userId;itemId;timeframe;eventdate\n"
        "1;NA;81766;526309;2016-05-09\n"
        "1;NA;31331;1031018;2016-05-09\n"
        "2;7;32118;243569;2016-05-10\n",
        [
            ("1", "81766", at("2016-05-09") + 526.309),
            ("1", "31331", at("2016-05-09") + 1031.018),
            ("2", "32118", at("2016-05-10") + 243.569),
        ],
    ),
    "taobao_userbehavior": (
        "UserBehavior.csv",
        "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,cart,1511561733\n2,4365585,2520377,buy,1511596146\n",
        [("1", "2268318", 1511544070.0), ("1", "2333346", 1511561733.0), ("2", "4365585", 1511596146.0)],
    ),
    "tmall": (
        "user_log_format1.csv",
        "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n"
        "328862,323294,833,2882,2661,829,0\n"
        "328862,844400,1271,2882,,1111,2\n",
        [("328862", "323294", at("2014-08-29")), ("328862", "844400", at("2014-11-11"))],
    ),
    "steam": (
        "steam_reviews.json",
        "{u'username': u'Ann', u'hours': 9.1, u'product_id': u'725280', u'date': u'2017-12-17',"
        " u'text': u\"it's good\"}\n"
        "{u'username': u'Bob', u'product_id': u'8', u'date': u'2018-01-02', u'early_access': False}\n",
        [("Ann", "725280", at("2017-12-17")), ("Bob", "8", at("2018-01-02"))],
    ),
    "gowalla": (
        "Gowalla_totalCheckins.txt",
        "0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847\n"
        "0\t2010-10-18T22:17:43Z\t30.26\t-97.76\t420315\n"
        "1\t2010-10-17T23:42:03Z\t30.2\t-97\t7\n",
        [
            ("0", "420315", at("2010-10-18 22:17:43")),
            ("0", "22847", at("2010-10-19 23:55:27")),
            ("1", "7", at("2010-10-17 23:42:03")),
        ],
    ),
    "lastfm_1k": (
        "userid-timestamp-artid-artname-traid-traname.tsv",
        'user_1\t2009-05-04T23:08:57Z\tf1b\tDeep "D\t\tFuck Me\n'
        "user_1\t2009-05-04T13:54:10Z\ta7f\tBjörk\tt-3\t\"It's Oh So Quiet\n"
        "user_2\t2009-05-01T13:54:10Z\ta7f\tBjörk\tt-3\tx\n",
        [("user_1", "t-3", at("2009-05-04 13:54:10")), ("user_2", "t-3", at("2009-05-01 13:54:10"))],
    ),
    "kuairand": (
        "log_standard_4_08_to_4_21_pure.csv",
        "user_id,video_id,date,hourmin,time_ms,is_click,is_like,play_time_ms,is_rand,tab\n"
        "0,3763,20220408,200,1649354400862,0,0,0,0,1\n"
        "0,5177,20220408,1000,1649384408862,1,0,9000,0,1\n",
        [("0", "5177", 1649384408.862)],
    ),
    "kuairec": (
        "big_matrix.csv",
        "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n"
        "0,3649,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.27\n"
        "0,9598,13665,10984,2020-07-05 00:13:41.297,20200705,1593879221.297,1.24\n"
        "1,5,1,2,,,,0.5\n",
        [("0", "3649", 1593878903.438), ("0", "9598", 1593879221.297)],
    ),
    "hm": (
        "transactions_train.csv",
        "t_dat,customer_id,article_id,price,sales_channel_id\n"
        "2018-09-20,000058a1,0663713001,0.0508,2\n"
        "2018-09-21,000058a1,0541518023,0.0304,2\n",
        [("000058a1", "0663713001", at("2018-09-20")), ("000058a1", "0541518023", at("2018-09-21"))],
    ),
    "amazon_2018": (
        "All_Beauty.json",
        "".join(
            json.dumps(
                {
                    "overall": 5.0,
                    "reviewTime": "09 1, 2016",
                    "reviewerID": user,
                    "asin": "0143026860",
                    "unixReviewTime": time,
                    "style": {"Size:": "1"},
                }
            )
            + "\n"
            for user, time in (("A1V6B6TNIC10QE", 1472688000), ("A2F5GHSXFQ0W6J", 1472774400))
        ),
        [("A1V6B6TNIC10QE", "0143026860", 1472688000.0), ("A2F5GHSXFQ0W6J", "0143026860", 1472774400.0)],
    ),
    "amazon_2018_ratings": (
        "All_Beauty.csv",
        "0143026860,A1V6B6TNIC10QE,1.0,1424304000\n014789302X,A1V6B6TNIC10QE,4.0,1418860800\n",
        [("A1V6B6TNIC10QE", "014789302X", 1418860800.0), ("A1V6B6TNIC10QE", "0143026860", 1424304000.0)],
    ),
    "amazon_2023": (
        "All_Beauty.jsonl",
        '{"rating": 5.0, "title": "Good", "asin": "B00", "parent_asin": "B00YQ6X8EO", "user_id": "AGKH",'
        ' "timestamp": 1588687728923}\n'
        '{"rating": 4.0, "title": "x", "asin": "B01", "parent_asin": "B081TJ8YS3", "user_id": "AGKH",'
        ' "timestamp": 1588615855070}\n',
        [("AGKH", "B081TJ8YS3", 1588615855.07), ("AGKH", "B00YQ6X8EO", 1588687728.923)],
    ),
    "yambda": (
        "listens.parquet",
        parquet(
            {"uid": [100, 100, 200], "timestamp": [40, 95, 25_000_000], "item_id": [8, 9, 8], "is_organic": [1, 0, 1]}
        ),
        [("100", "8", 40.0), ("100", "9", 95.0), ("200", "8", 25_000_000.0)],
    ),
    "merrec": (
        "20230501.parquet",
        parquet(
            {
                "user_id": [5, 5],
                "sequence_id": [1, 1],
                "session_id": [1, 1],
                "stime": ["2023-05-02 10:00:00 UTC", "2023-05-02 10:00:09 UTC"],
                "event_id": ["item_view", "item_like"],
                "item_id": [11, 12],
                "product_id": [1012, 37],
            }
        ),
        [("5", "1012", at("2023-05-02 10:00:00")), ("5", "37", at("2023-05-02 10:00:09"))],
    ),
    "retailrocket": (
        "events.csv",
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,257597,view,355908,\n"
        "1433224214164,992329,transaction,248676,4000\n",
        [("257597", "355908", 1433221332.117), ("992329", "248676", 1433224214.164)],
    ),
    "netflix": (
        "combined_data_1.txt",
        "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n2:\n1488844,4,2005-12-26\n",
        [("822109", "1", at("2005-05-13")), ("1488844", "1", at("2005-09-06")), ("1488844", "2", at("2005-12-26"))],
    ),
    "movielens": (
        "ratings.dat",
        "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n",
        [("1", "1193", 978300760.0), ("1", "661", 978302109.0), ("2", "1193", 978298413.0)],
    ),
    "recbole": (
        "shop.inter",
        'user_id:token\titem_id:token\trating:float\ttimestamp:float\na\t"One\t4\t1600000000\nb\tTwo"\t5\t1600000060\n',
        [("a", '"One', 1600000000.0), ("b", 'Two"', 1600000060.0)],
    ),
}
ITEMS: dict[
    str, tuple[str, str, tuple[str, ...]]
] = {  # name: (content of its table of items, title, attributes of the first event's item)
    "mind": (
        'N55\tnews\tworld\tA "big" day\tabstract\thttps://x\t[]\t[]\nN8\tnews\tus\t"Quiet\t\t\t[]\t[]\n',
        'A "big" day',
        ("news", "world"),
    ),
    "steam": (
        "{u'id': u'725280', u'app_name': u'Game', u'genres': [u'Action', u'Indie'], u'tags': [u'Fun']}\n",
        "Game",
        ("Action", "Indie", "Fun"),
    ),
    "hm": (
        "article_id,product_code,prod_name,product_type_name,colour_group_name,department_name\n"
        '0663713001,1,"Top, red",Top,Red,Basic\n',
        "Top, red",
        ("Top", "Red", "Basic"),
    ),
    "amazon_2018": (
        '{"asin": "0143026860", "title": "Book", "category": ["Books", "Old"]}\n',
        "Book",
        ("Books", "Old"),
    ),
    "amazon_2023": (
        '{"parent_asin": "B081TJ8YS3", "title": "Soap", "categories": ["Beauty"], "main_category": "All"}\n',
        "Soap",
        ("Beauty",),
    ),
    "netflix": ("1,2003,Dinosaur Planet\n2,2004,Other\n", "Dinosaur Planet", ("2003",)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_published_form_is_read_with_its_users_items_and_times(tmp_path: Path, name: str) -> None:
    file, content, expected = PUBLISHED[name]
    found = events(load(tmp_path / file, content, format=name))
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in expected], abs=1e-4)


@pytest.mark.parametrize("name", ITEMS)
def test_its_table_of_items_is_read_too(tmp_path: Path, name: str) -> None:
    file, content, expected = PUBLISHED[name]
    described, title, attributes = ITEMS[name]
    (tmp_path / "items").write_text(described, encoding="utf-8")
    log = load(tmp_path / file, content, format=name, items=str(tmp_path / "items"))
    item = log.item_ids.tolist().index(expected[0][1])
    assert log.titles is not None
    assert log.titles[item] == title
    assert log.attributes is not None
    assert log.attributes[item] == attributes


def test_what_the_user_says_comes_before_the_recipe(tmp_path: Path) -> None:
    file, content, _ = PUBLISHED["kuairand"]
    assert load(tmp_path / file, content, format="kuairand", where="is_click = 0").item_ids.tolist() == ["3763"]
