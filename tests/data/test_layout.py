import pytest

from cavs_dist.data.clip import ClipMeta
from cavs_dist.data.layout import by_slot, parse_meta, refuse_extension, refuse_incomplete, refuse_key, sound_rate
from cavs_dist.errors import InputError

META = {"classes": ["dog"], "frames": 2, "annotated": [1], "size": [4, 6], "rate": 8000, "seconds": 2, "extra": None}
MEMBERS = ["json", "audio.flac", "frame.0.jpg", "frame.1.png", "mask.1.png"]


@pytest.mark.parametrize("key", ["a", "train-000001", "--Xy_9", "k" * 200, "gitarre spielt"])
def test_good_keys(key: str) -> None:
    refuse_key(key)


@pytest.mark.parametrize("key", ["", "a.b", "a/b", "..", "a\\b", "k" * 201, "a\nb", "a\x00"])
def test_bad_keys(key: str) -> None:
    with pytest.raises(InputError, match="printable"):
        refuse_key(key)


@pytest.mark.parametrize(
    "extension", ["source.emergency-car.ogg", "feature.vggish.npy", "silent.10.png", "frame.0.webp"]
)
def test_good_extensions(extension: str) -> None:
    refuse_extension(extension)


@pytest.mark.parametrize("extension", ["pyd", "pickle", "audio.pth", "frame.0.npz", "feature.x.pkl", "source.x.py"])
def test_what_can_run_is_refused(extension: str) -> None:
    with pytest.raises(InputError, match="not allowed in a shard"):
        refuse_extension(extension)


NEARLY = [
    "",
    "audio",
    "json.gz",
    "frame.00.jpg",
    "frame.-1.jpg",
    "frame.1.jpg\n",
    "frame.٣.jpg",
    "mask.0.jpg",
    "source..ogg",
]


@pytest.mark.parametrize("extension", NEARLY)
def test_what_is_nearly_right_is_refused(extension: str) -> None:
    with pytest.raises(InputError, match="not allowed in a shard"):
        refuse_extension(extension)


def test_a_slot_is_filled_once() -> None:
    assert by_slot(["json", "frame.3.jpg"]) == {"json": "json", "frame.3": "frame.3.jpg"}
    with pytest.raises(InputError, match=r"frame\.3"):
        by_slot(["frame.3.jpg", "frame.3.png"])


def test_parse_meta() -> None:
    assert parse_meta(META) == ClipMeta(("dog",), 2, (1,), (4, 6), 8000, 2.0)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("frames", [0, True, 1e9, None]),
        ("annotated", [[2], [1, 0], [1, 1], ["1"], 1]),
        ("size", [[4], [4, 70_000], "46"]),
        ("rate", [0, "8000"]),
        ("seconds", [float("nan"), float("inf"), 10**400, -1, True, "2"]),
        ("classes", ["dog", ["dog", "dog"], [""], None]),
        ("objects", [[3]]),
    ],
)
def test_bad_meta(field: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(InputError, match=field):
            parse_meta({**META, field: value})
    with pytest.raises(InputError, match="expected an object"):
        parse_meta(values)


@pytest.mark.parametrize("missing", MEMBERS)
def test_incomplete(missing: str) -> None:
    meta = parse_meta(META)
    refuse_incomplete(meta, [*MEMBERS, "silent.0.png", "source.dog.flac", "feature.x.npy"])
    with pytest.raises(InputError, match="is incomplete"):
        refuse_incomplete(meta, [name for name in MEMBERS if name != missing])


@pytest.mark.parametrize("stray", ["frame.2.jpg", "mask.0.png", "silent.2.png"])
def test_stray_members(stray: str) -> None:
    with pytest.raises(InputError, match="is not among its 2 frames"):
        refuse_incomplete(parse_meta(META), [*MEMBERS, stray])


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000, 11_025, 8_000])
def test_a_usual_rate_is_taken(rate: int) -> None:
    assert sound_rate(rate) == rate


@pytest.mark.parametrize("rate", [44_101, 383_999])
def test_a_rate_whose_resampler_would_fill_the_memory_is_refused(rate: int) -> None:
    with pytest.raises(InputError, match=f"'rate' is {rate} Hz: bring the sound to a usual rate"):
        sound_rate(rate)
