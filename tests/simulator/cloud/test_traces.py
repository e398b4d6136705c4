"""Request traces: three forms, and rows that cannot be used."""

from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.capacity.traces import read_trace
from fleetrec.simulator.core.notes import data_of
from tests.small import noted

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
PLAIN = "arrival_s,prompt_tokens,output_tokens,sequences\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "trace"
    path.write_text(text, encoding="utf-8")
    return path


def test_azure_times_count_from_the_first_request(tmp_path: Path) -> None:
    text = AZURE + "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
    requests, notes = read_trace(written(tmp_path, text))
    assert requests.arrival_s == pytest.approx([0.0, 4.314579])
    assert (requests.prompt_tokens.tolist(), requests.output_tokens.tolist()) == ([374, 396], [44, 109])
    assert requests.sequences.tolist() == [1, 1]
    assert notes == []


def test_vllm_lines_give_tokens_and_the_time_in_the_queue(tmp_path: Path) -> None:
    lines = (
        '{"input_toks": 7, "output_toks": 3, "queued_ts": 20.5}\n\n'
        '{"input_toks": 8, "output_toks": 1, "queued_ts": 21.0}\n'
    )
    requests, _ = read_trace(written(tmp_path, lines))
    assert requests.arrival_s.tolist() == [0.0, 0.5]
    assert requests.prompt_tokens.tolist() == [7, 8]


def test_a_plain_trace_may_say_how_many_beams(tmp_path: Path) -> None:
    requests, _ = read_trace(written(tmp_path, PLAIN + "0,10,5,4\n1,10,5,1\n2,10,5,1\n"), limit=2)
    assert requests.sequences.tolist() == [4, 1]


def test_rows_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    requests, notes = read_trace(written(tmp_path, PLAIN + "5,1,1,1\n3,2,1,1\n4,3,1,1\n"))
    assert requests.arrival_s.tolist() == [0.0, 1.0, 2.0]
    assert requests.prompt_tokens.tolist() == [2, 3, 1]
    assert noted(data_of(*notes)) == {"trace_sorted": {"late": 1, "rows": 3}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no request"),
        (AZURE, "holds no request"),
        ("user,item\n1,2\n", "row 1: not the head of a request trace"),
        (AZURE + "2023-11-16 18:15:46,374,44\nyesterday,3,4\n", "row 3: expected a date and time, got 'yesterday'"),
        (AZURE + "2023-11-16 18:15:46,374\n", "row 2: 2 cells where the head has 3"),
        (PLAIN + "0,ten,5,1\n", "row 2: prompt_tokens: expected a finite number, got 'ten'"),
        (PLAIN + "0,10,5,1\n1,0,5,1\n", "row 3: 0 prompt tokens, not a whole number of 1 to 1e+09"),
        (PLAIN + "0,10,2.5,1\n", "row 2: 2.5 output tokens, not a whole number"),
        (PLAIN + "0,10,5,0\n", "row 2: 0 sequences, not"),
        (PLAIN + "0,10,9999999999999999999999999,1\n", "row 2: 1e+25 output tokens, not a whole number of 0 to 1e+09"),
        (PLAIN + "0,10,5,1\n1e308,10,5,1\n", "row 3: arrival_s 1e308 is no time in s, for it lies beyond"),
        ('{"input_toks": 7, "output_toks": 3}\n', "row 1: no queued_ts"),
        ('{"input_toks": 7, "output_toks": 3, "queued_ts": 1}\n{oops\n', "row 2: not a JSON object"),
    ],
)
def test_what_is_not_a_trace_is_refused_with_the_row(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_trace(written(tmp_path, text))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
