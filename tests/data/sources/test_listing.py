from pathlib import Path

import pytest

from cavs_dist.data.sources.listing import read_rows
from cavs_dist.errors import InputError

CHOICES = {"split": ("train", "val")}


def listing(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode("utf-8-sig"))
    return path


def test_rows_are_stripped_and_other_columns_left_alone(tmp_path: Path) -> None:
    path = listing(tmp_path, 'more,key,split,note\nx, a ,train,"1, 2"\ny,b-c_1,val,\n')
    assert read_rows(path, "key", ("note",), CHOICES) == [
        {"key": "a", "split": "train", "note": "1, 2"},
        {"key": "b-c_1", "split": "val", "note": ""},
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column key, note, split"),
        ("key,note\na,\n", "no column split"),
        ("key,split,note\na,train\n", "line 2 has fewer values"),
        ("key,split,note\na,train,\nb,dev,\n", "line 3: split is 'dev', expected one of train, val"),
        ("key,split,note\na,train,\na,val,\n", "line 3: key 'a' is listed for the second time"),
        ("key,split,note\n../a,train,\n", "line 2: key: key '../a'"),
        ("key,split,note\na/b,train,\n", "line 2: key: key 'a/b'"),
        ("key,split,note\na\\b,train,\n", "line 2"),
        ("key,split,note\n,train,\n", "line 2"),
        ('key,split,note\na,train,"open\n', "cannot be read as CSV"),
    ],
)
def test_a_wrong_listing_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_rows(listing(tmp_path, text), "key", ("note",), CHOICES)
    assert words in str(caught.value)


def test_a_missing_listing_and_one_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no list\.csv"):
        read_rows(tmp_path / "list.csv", "key")
    (tmp_path / "list.csv").write_bytes(b"key\n\xff\xfe\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_rows(tmp_path / "list.csv", "key")
