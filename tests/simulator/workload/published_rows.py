"""Rows of our own in exactly the forms in which data sets are published, and what they hold."""

import gzip
import io
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def at(text: str) -> float:
    """Seconds since 1970 of a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def parquet(columns: dict[str, Any]) -> bytes:
    """A Parquet file of columns."""
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


HM_USER = "00000dbacae5abe5e23885899a1fa44253a17956c6d1c3d25f88aa139fdfc657"
KUAIRAND_NAMES = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
    "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n"
)
STEAM_REVIEWS = (
    "{u'username': u'Chaos Syren', u'hours': 0.1, u'products': 41, u'product_id': u'725280', u'page_order': 0, "
    "u'date': u'2017-12-17', u'text': u'It\\'s \"fine\" \\u2764', u'early_access': False, u'page': 1}\n"
    "{u'username': u\"₮'oas\", u'hours': 51.1, u'products': 769, u'product_id': u'328100', u'page_order': 0, "
    "u'date': u'2017-12-27', u'text': u'None', u'early_access': True, u'page': 1, u'user_id': u'7656119'}\n"
)
YAMBDA = {
    "uid": pa.array([100, 100, 200], pa.uint32()),
    "timestamp": pa.array([39420, 39625, 110], pa.uint32()),
    "item_id": pa.array([8326270, 1474000, 8326270], pa.uint32()),
    "is_organic": pa.array([0, 1, 1], pa.uint8()),
}
YAMBDA_EVENTS = [("100", "8326270", 39420.0), ("100", "1474000", 39625.0), ("200", "8326270", 110.0)]
AMAZON_2018 = (
    '{"overall": 5.0, "verified": true, "reviewTime": "09 1, 2016", "reviewerID": "A3CIUOJXQ5VDQ2", "asin": '
    '"B0000530HU", "style": {"Size:": " 7.0 oz"}, "reviewText": "As advertised", "unixReviewTime": 1472688000}\n'
    '{"overall": 1.0, "verified": true, "reviewTime": "11 14, 2013", "reviewerID": "A3H7T87S984REU", "asin": '
    '"B0000530HU", "reviewText": "Like the \\"oder\\"", "unixReviewTime": 1384387200}\n'
)

# (name, file's name, content, the events it holds)
PUBLISHED: list[tuple[str, str, str | bytes, list[tuple[str, str, float]]]] = [
    (
        "yoochoose",
        "yoochoose-clicks.dat",
        "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,S\n2,2014-04-07T13:56:37Z,214662742,0\n",
        [("1", "214536502", 1396867869.277), ("1", "214536500", 1396868049.868), ("2", "214662742", 1396878997.0)],
    ),
    (
        "yoochoose",
        "yoochoose-buys.dat",
        "420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n420374,2014-04-06T18:44:58.325Z,214537850,10471,1\n",
        [("420374", "214537888", 1396809898.314), ("420374", "214537850", 1396809898.325)],
    ),
    (
        "movielens",
        "ratings.dat",
        "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n",
        [("1", "1193", 978300760.0), ("1", "661", 978302109.0), ("2", "1193", 978298413.0)],
    ),
    (
        "movielens",
        "u.data",
        "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
        [("186", "302", 891717742.0), ("196", "242", 881250949.0)],
    ),
    (
        "movielens",
        "ratings.csv",
        "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,3,4.0,964981247\n",
        [("1", "3", 964981247.0), ("1", "1", 964982703.0)],
    ),
    (
        "recbole",
        "shop.inter",
        'user_id:token\titem_id:token\trating:float\ttimestamp:float\na\t"One\t4\t1600000000\nb\tTwo"\t5\t1600000060\n',
        [("a", '"One', 1600000000.0), ("b", 'Two"', 1600000060.0)],
    ),
    (
        "mind",
        "behaviors.tsv",
        "1\tU13740\t11/11/2019 9:05:58 AM\tN55189 N42782\tN55689-1 N35729-0\n"
        "2\tU91836\t11/12/2019 6:11:30 PM\t\tN20678-0 N39317-0 N58114-1\n"
        "3\tU13740\t11/13/2019 12:24:20 AM\tN55189 N42782\tN7-1 N8-1\n",
        [
            ("U13740", "N55689", at("2019-11-11T09:05:58")),
            ("U13740", "N7", at("2019-11-13T00:24:20")),
            ("U13740", "N8", at("2019-11-13T00:24:20")),
            ("U91836", "N58114", at("2019-11-12T18:11:30")),
        ],
    ),
    (
        "diginetica",
        "train-item-views.csv",
        "sessionId;userId;itemId;timeframe;eventdate\n1;NA;81766;526309;2016-05-09\n1;NA;31331;1031018;2016-05-09\n"
        "2;7;32118;243569;2016-05-10\n",
        [
            ("1", "81766", at("2016-05-09") + 526.309),
            ("1", "31331", at("2016-05-09") + 1031.018),
            ("2", "32118", at("2016-05-10") + 243.569),
        ],
    ),
    (
        "diginetica",
        "train-purchases.csv",
        "session_id;user_id;timeframe;eventdate;ordernumber;item_id\n150;18278;17100868;2016-05-06;16421;25911\n",
        [("150", "25911", at("2016-05-06") + 17100.868)],
    ),
    (
        "taobao_userbehavior",
        "UserBehavior.csv",
        "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,cart,1511561733\n100,2333346,2520771,buy,1511733732\n"
        "100,5,6,pv,-2134949234\n",
        [("1", "2268318", 1511544070.0), ("1", "2333346", 1511561733.0), ("100", "2333346", 1511733732.0)],
    ),
    (
        "tmall",
        "user_log_format1.csv",
        "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n328862,323294,833,2882,2661.0,829,0\n"
        "328862,844400,1271,2882,2661.0,1111,2\n9,844400,1271,2882,,0511,3\n",
        [
            ("9", "844400", at("2014-05-11")),
            ("328862", "323294", at("2014-08-29")),
            ("328862", "844400", at("2014-11-11")),
        ],
    ),
    (
        "steam",
        "steam_reviews.json.gz",
        gzip.compress(STEAM_REVIEWS.encode()),
        [("Chaos Syren", "725280", at("2017-12-17")), ("₮'oas", "328100", at("2017-12-27"))],
    ),
    (
        "gowalla",
        "loc-gowalla_totalCheckins.txt",
        "0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847\n0\t2010-10-18T22:17:43Z\t30.2691029532\t"
        "-97.7493953705\t420315\n1\t2010-10-17T23:42:03Z\t30.2557309927\t-97.7633857727\t316637\n",
        [
            ("0", "420315", at("2010-10-18T22:17:43")),
            ("0", "22847", at("2010-10-19T23:55:27")),
            ("1", "316637", at("2010-10-17T23:42:03")),
        ],
    ),
    (
        "lastfm_1k",
        "userid-timestamp-artid-artname-traid-traname.tsv",
        "user_000001\t2009-05-04T23:08:57Z\tf1b1cf71\tDeep Dish\t\tFuck Me Im Famous\n"
        'user_000001\t2009-05-04T13:54:10Z\ta7f7df4a\t坂本龍一\tf7c1f8f8\tComposition "0919 (Live\n'
        "user_000002\t2009-05-04T13:52:04Z\ta7f7df4a\t坂本龍一\tc0f9c2b1\tMc2 (Live\textra\n"
        "user_000002\t2009-05-04T13:42:52Z\ta7f7df4a\t坂本龍一\t475d4e50\tHibari\n",
        [
            ("user_000001", "f7c1f8f8", at("2009-05-04T13:54:10")),
            ("user_000002", "475d4e50", at("2009-05-04T13:42:52")),
        ],
    ),
    (
        "kuairand",
        "log_standard_4_08_to_4_21_pure.csv",
        KUAIRAND_NAMES
        + "0,4315,20220408,1600,1649405263798,1,0,0,0,0,0,1,14100,14100,0,0,0,0,1\n"
        + "0,990,20220409,1500,1649488020999,0,0,0,0,0,0,0,0,11133,0,0,0,1,1\n"
        + "3,990,20220408,0,1649347205123,1,0,0,0,0,0,0,100,11133,0,0,0,1,1\n",
        [("0", "4315", 1649405263.798), ("3", "990", 1649347205.123)],
    ),
    (
        "kuairec",
        "small_matrix.csv",
        "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n"
        "14,148,4381,6067,2020-07-05 05:27:48.378,20200705.0,1593898068.378,0.722103\n"
        "14,183,11635,6100,2020-07-05 05:28:00.057,20200705.0,1593898080.057,1.907377\n"
        "14,3649,22422,10867,,,,2.063311\n",
        [("14", "148", 1593898068.378), ("14", "183", 1593898080.057)],
    ),
    (
        "hm",
        "transactions_train.csv",
        f"t_dat,customer_id,article_id,price,sales_channel_id\n2018-09-20,{HM_USER},0663713001,0.050830508474576264,2\n"
        f"2018-09-21,{HM_USER},0541518023,0.030491525423728812,1\n",
        [(HM_USER, "0663713001", at("2018-09-20")), (HM_USER, "0541518023", at("2018-09-21"))],
    ),
    (
        "amazon_2018",
        "All_Beauty.json.gz",
        gzip.compress(AMAZON_2018.encode()),
        [("A3CIUOJXQ5VDQ2", "B0000530HU", 1472688000.0), ("A3H7T87S984REU", "B0000530HU", 1384387200.0)],
    ),
    (
        "amazon_2018",
        "All_Beauty.csv",
        "0143026860,A1V6B6TNIC10QE,1.0,1424304000\n0143026860,A2F5GHSXFQ0W6J,4.0,1418860800\n",
        [("A1V6B6TNIC10QE", "0143026860", 1424304000.0), ("A2F5GHSXFQ0W6J", "0143026860", 1418860800.0)],
    ),
    (
        "amazon_2023",
        "All_Beauty.csv",
        "user_id,parent_asin,rating,timestamp,history\nAGKHLEW2SOWHNMFQIJGBECAF7INQ,B081TJ8YS3,4.0,1588615855070,\n"
        "AGKHLEW2SOWHNMFQIJGBECAF7INQ,B07PNNCSP9,5.0,1589665266052,B081TJ8YS3\n",
        [
            ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B081TJ8YS3", 1588615855.07),
            ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B07PNNCSP9", 1589665266.052),
        ],
    ),
    (
        "amazon_2023",
        "All_Beauty.jsonl",
        '{"rating": 5.0, "title": "Such a scent", "text": "Nice.\\nReally.", "images": [], "asin": "B00YQ6X8EO", '
        '"parent_asin": "B00YQ6X8E0", "user_id": "AGKH", "timestamp": 1588687728923, "helpful_vote": 0, '
        '"verified_purchase": true}\n',
        [("AGKH", "B00YQ6X8E0", 1588687728.923)],
    ),
    ("yambda", "listens.parquet", parquet(YAMBDA), YAMBDA_EVENTS),
    (
        "yambda",
        "multi_event.parquet",
        parquet({**YAMBDA, "event_type": pa.array(["listen", "dislike", "like"]).dictionary_encode()}),
        [YAMBDA_EVENTS[0], YAMBDA_EVENTS[2]],
    ),
    (
        "yambda",
        "sequential-likes.parquet",
        parquet(
            {
                "uid": pa.array([100, 200], pa.uint32()),
                "timestamp": [[39420, 39625], [110]],
                "item_id": [[8326270, 1474000], [8326270]],
                "is_organic": [[0, 1], [1]],
            }
        ),
        YAMBDA_EVENTS,
    ),
    (
        "merrec",
        "000000000000.parquet",
        parquet(
            {
                "user_id": [11, 11],
                "sequence_id": [1, 1],
                "session_id": [1, 2],
                "item_id": [55, 56],
                "product_id": [901, 902],
                "event_id": ["item_view", "buy_comp"],
                "stime": pa.array([1_682_899_200_500_000, 1_682_985_600_000_000], pa.timestamp("us", tz="UTC")),
                "name": ["A cup", "A cup, blue"],
            }
        ),
        [("11", "901", 1682899200.5), ("11", "902", 1682985600.0)],
    ),
    (
        "retailrocket",
        "events.csv",
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
        "1433224214164,992329,addtocart,248676,\n1433224314164,992329,transaction,248676,4000\n",
        [
            ("257597", "355908", 1433221332.117),
            ("992329", "248676", 1433224214.164),
            ("992329", "248676", 1433224314.164),
        ],
    ),
    (
        "netflix",
        "combined_data_1.txt",
        "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n10:\n1488844,4,2004-10-12\n",
        [
            ("822109", "1", at("2005-05-13")),
            ("1488844", "10", at("2004-10-12")),
            ("1488844", "1", at("2005-09-06")),
        ],
    ),
]


# name: (file of items as published, content, (title, attributes) of the items that the log of above holds and it tells)
ITEMS: dict[str, tuple[str, str | bytes, dict[str, tuple[str, tuple[str, ...]]]]] = {
    "movielens": ("movies.dat", "1193::One Flew Over (1975)::Drama\n", {"1193": ("One Flew Over (1975)", ("Drama",))}),
    "recbole": (
        "shop.item",
        'item_id:token\ttitle:token_seq\tgenre:token_seq\n"One\tThe "One\tA B\n',
        {'"One': ('The "One', ("A", "B"))},
    ),
    "mind": (
        "news.tsv",
        'N55689\tsports\tfootball_nfl\tCharles "Rogers, former\tAn abstract\thttps://x/y.html\t[]\t[{"Label": "a"}]\n',
        {"N55689": ('Charles "Rogers, former', ("sports", "football_nfl"))},
    ),
    "diginetica": ("product-categories.csv", "itemId;categoryId\n81766;1096\n5;1\n", {"81766": ("", ("1096",))}),
    "steam": (
        "steam_games.json.gz",
        gzip.compress(
            b"{u'publisher': u'K', u'genres': [u'Action', u'Indie'], u'app_name': u'Lost \\xe9', u'tags': [u'Hard'], "
            b"u'price': 4.99, u'early_access': False, u'id': u'725280'}\n"
        ),
        {"725280": ("Lost é", ("Action", "Indie", "Hard"))},
    ),
    "lastfm_1k": (
        "userid-timestamp-artid-artname-traid-traname.tsv",
        "user_000001\t2009-05-04T13:54:10Z\ta7f7df4a\t坂本龍一\tf7c1f8f8\tComposition 0919\n",
        {"f7c1f8f8": ("Composition 0919", ("坂本龍一",))},
    ),
    "kuairand": (
        "video_features_basic_pure.csv",
        'video_id,author_id,video_type,upload_dt,upload_type,tag\n4315,8,NORMAL,2021-11-19,X,"8,67"\n',
        {"4315": ("", ("8", "67"))},
    ),
    "kuairec": (
        "kuairec_caption_category.csv",
        "video_id,manual_cover_text,caption,topic_tag,first_level_category_id,first_level_category_name,"
        "second_level_category_id,second_level_category_name,third_level_category_id,third_level_category_name\n"
        '148,UNKNOWN,"精神小伙\n路难走 ",[],8,颜值,673,颜值随拍,-124,UNKNOWN\n',
        {"148": ("精神小伙 路难走", ("颜值", "颜值随拍"))},
    ),
    "hm": (
        "articles.csv",
        "article_id,product_code,prod_name,product_type_name,product_group_name,colour_group_name,detail_desc\n"
        '0663713001,0663713,"Atlanta Push, Body",Bra,Underwear,Black,"Soft ""push"" bra"\n',
        {"0663713001": ("Atlanta Push, Body", ("Bra", "Underwear", "Black"))},
    ),
    "amazon_2018": (
        "meta_All_Beauty.json.gz",
        gzip.compress(
            b'{"category": ["Beauty", "Shaving"], "title": "A Cream, 2 oz", "asin": "B0000530HU", "price": ""}\n'
        ),
        {"B0000530HU": ("A Cream, 2 oz", ("Beauty", "Shaving"))},
    ),
    "amazon_2023": (
        "meta_All_Beauty.jsonl",
        '{"main_category": "All Beauty", "title": "Howard", "categories": ["Hair"], "parent_asin": "B081TJ8YS3"}\n',
        {"B081TJ8YS3": ("Howard", ("Hair",))},
    ),
    "merrec": (
        "000000000000.parquet",
        parquet(
            {
                **{
                    "item_id": [55],
                    "product_id": [901],
                    "name": ["A cup"],
                    "c0_name": ["Home"],
                    "c1_name": ["Kitchen"],
                },
                **{"c2_name": ["Cups"], "brand_name": [""]},
            }
        ),
        {"901": ("A cup", ("Home", "Kitchen", "Cups"))},
    ),
    "retailrocket": (
        "item_properties_part1.csv",
        "timestamp,itemid,property,value\n1435460400000,355908,categoryid,1338\n1441508400000,355908,888,1116713\n",
        {"355908": ("", ("1338",))},
    ),
    "netflix": (
        "movie_titles.csv",
        "1,2003,Dinosaur Plan\xe8te\n10,1999,At Home, a Stranger\n4388,NULL,Ancient\n".encode("latin-1"),
        {"1": ("Dinosaur Planète", ()), "10": ("At Home, a Stranger", ())},
    ),
}
