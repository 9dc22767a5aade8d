import pytest

from cavs_dist.data.remote.answer import Gone, Transient, whole_size
from cavs_dist.errors import InputError

GOOD = {"Content-Range": "bytes 10-19/100", "Content-Length": "10"}


def test_the_bytes_that_were_asked_for() -> None:
    assert whole_size(206, GOOD, 10, 20) == 100
    assert whole_size(206, {"Content-Range": "bytes 10-99/100", "Content-Length": "90"}, 10, 200) == 100


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Length": "10"},
        {"Content-Range": "bytes 10-19/100"},
        {**GOOD, "Content-Range": "bytes 11-20/100"},
        {**GOOD, "Content-Range": "bytes 10-18/100"},
        {**GOOD, "Content-Range": "bytes 10-19/15"},
        {**GOOD, "Content-Range": "bytes 10-19/*"},
        {**GOOD, "Content-Range": "bytes 10-19/100, 30-39/100"},
        {**GOOD, "Content-Range": "bytes 10-19/" + "9" * 5000},
        {**GOOD, "Content-Length": "11"},
        {**GOOD, "Content-Length": "1" * 5000},
    ],
)
def test_other_bytes_may_come_right_when_asked_again(headers: dict[str, str]) -> None:
    with pytest.raises(Transient) as caught:
        whole_size(206, headers, 10, 20)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (200, InputError, "is sent whole where a part was asked for"),
        (301, InputError, "301, where 206 was expected"),
        (401, InputError, "may not be read"),
        (403, InputError, "may not be read"),
        (404, Gone, "no such file"),
        (410, Gone, "no such file"),
        (416, Gone, "it ends before"),
        (400, InputError, "400"),
        (408, Transient, "408"),
        (429, Transient, "429"),
        (500, Transient, "500"),
        (503, Transient, "503"),
    ],
)
def test_a_refusal_says_what_can_be_done(status: int, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        whole_size(status, {}, 0, 10)


@pytest.mark.parametrize(
    ("text", "wait"), [("3", 3.0), ("999999", 60.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0), ("-1", 0.0), ("nan", 0.0)]
)
def test_a_server_may_ask_to_be_left_alone_for_a_minute(text: str, wait: float) -> None:
    with pytest.raises(Transient) as caught:
        whole_size(429, {"Retry-After": text}, 0, 10)
    assert caught.value.wait == wait
