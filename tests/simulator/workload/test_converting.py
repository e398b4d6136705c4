"""Our own Parquet of a log holds the log, and of a log of what was shown all that was shown."""

from pathlib import Path

import pyarrow.parquet as pq

from fleetrec.simulator.scenario.sections import LogFile
from fleetrec.simulator.workload.converting import convert
from fleetrec.simulator.workload.loading import load_log
from tests.simulator.workload.logs import load

NEWS = (
    "1\tU13\t11/15/2019 8:55:12 AM\tN5 N7\tN55-1 N35-0\n"
    "2\tU13\t11/15/2019 10:05:02 PM\t\tN9-0 N8-1\n"
    "3\tU2\t11/15/2019 10:05:02 PM\t\tN9-0 N8-0\n"
)
VIDEOS = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_rand\n0,3763,20220408,200,1649354400862,0,1\n"
    "0,5177,20220408,1000,1649384408862,1,0\n"
)


def test_a_converted_log_is_the_log(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title,tags\nb,Bé,x|y\na,,\n", encoding="utf-8")
    rows = "who,item,at\nu2,b,31/01/2020 10:00\nu1,b,31/01/2020 11:00\nu2,a,30/01/2020 12:00\n"
    items = {"path": str(tmp_path / "items.csv"), "columns": {"attributes": "tags"}}
    said = {"columns": {"user": "who", "item": "item", "time": "at"}, "items": items}
    log = load(tmp_path / "log.csv", rows, **said)
    section = LogFile.model_validate({"path": str(tmp_path / "log.csv"), **said})
    assert convert(section, tmp_path / "out") == {"interactions.parquet": 3, "items.parquet": 2}
    again = LogFile(path=str(tmp_path / "out/interactions.parquet"), items=str(tmp_path / "out/items.parquet"))
    assert load_log(again).content_hash == log.content_hash


def test_what_was_shown_is_kept_beside_the_clicks(tmp_path: Path) -> None:
    log = load(tmp_path / "behaviors.tsv", NEWS, format="mind")
    written = convert(LogFile(path=str(tmp_path / "behaviors.tsv"), format="mind"), tmp_path / "out")
    assert written == {"interactions.parquet": 2, "exposures.parquet": 6}
    assert load_log(LogFile(path=str(tmp_path / "out/interactions.parquet"))).content_hash == log.content_hash
    shown = pq.read_table(tmp_path / "out/exposures.parquet").to_pydict()
    assert shown["user_id"] == ["U13"] * 4 + ["U2"] * 2
    assert shown["item_id"] == ["N55", "N35", "N9", "N8", "N9", "N8"]
    assert shown["clicked"] == [True, False, False, True, False, False]
    assert shown["slate"] == ["1", "1", "2", "2", "3", "3"]
    assert shown["shown"] == [True] * 6
    assert shown["timestamp"][0] == 1573808112.0


def test_what_was_shown_at_random_is_told(tmp_path: Path) -> None:
    (tmp_path / "log_random.csv").write_text(VIDEOS)
    convert(LogFile(path=str(tmp_path / "log_random.csv"), format="kuairand"), tmp_path / "out")
    shown = pq.read_table(tmp_path / "out/exposures.parquet").to_pydict()
    assert (shown["item_id"], shown["clicked"], shown["random"]) == (["3763", "5177"], [False, True], [True, False])
    assert shown["timestamp"] == [1649354400.862, 1649384408.862]


def test_a_log_without_times_is_converted_in_its_order(tmp_path: Path) -> None:
    log = load(tmp_path / "lines.txt", "7 3 1 2\n8 5 6\n")
    convert(LogFile(path=str(tmp_path / "lines.txt")), tmp_path / "out")
    assert pq.read_table(tmp_path / "out/interactions.parquet").column_names == ["user_id", "item_id"]
    assert load_log(LogFile(path=str(tmp_path / "out/interactions.parquet"))).content_hash == log.content_hash
