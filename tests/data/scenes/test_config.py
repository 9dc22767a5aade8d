from dataclasses import fields, replace

import pytest

from cavs_dist.data.scenes.config import CLASSES, PRESETS, ScenesConfig, partner
from cavs_dist.errors import InputError

BAD = {
    "classes": [(), ("bell", "bell"), ("bell", "theremin")],
    "num_classes": [-1, 9],
    "train": [-1],
    "val": [-1],
    "test": [-1],
    "size": [15, 0, -64],
    "frames": [0],
    "seconds": [0.5, float("nan"), float("inf")],
    "second": [-0.1, 1.1, float("nan")],
    "partner_train": [-0.1, 1.1],
    "partner_test": [-0.1, 1.1],
    "sounds_too": [-0.1, 1.1],
    "throughout": [-0.1, 1.1, float("nan")],
    "seed": [-1],
    "workers": [0],
    "clips_per_shard": [0],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InputError, match=name if name != "classes" else "class"):
        replace(ScenesConfig(), **{name: value})  # type: ignore[arg-type]


def test_every_field_has_a_bad_value_and_is_documented() -> None:
    names = [field.name for field in fields(ScenesConfig)]
    assert sorted(BAD) == sorted(names)
    assert all(name in (ScenesConfig.__doc__ or "") for name in names)


def test_a_misspelt_class_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match='did you mean "violin"'):
        ScenesConfig(classes=("violon", "bell"))


def test_a_second_object_needs_a_second_class() -> None:
    with pytest.raises(InputError, match="two classes"):
        ScenesConfig(classes=("bell",))
    assert ScenesConfig(classes=("bell",), second=0).names == ("bell",)


def test_some_clips_must_be_asked_for() -> None:
    with pytest.raises(InputError, match="all 0"):
        ScenesConfig(train=0, val=0, test=0)


def test_num_classes_takes_the_first_of_the_list() -> None:
    config = ScenesConfig(num_classes=3, train=7)
    assert config.names == config.classes[:3]
    assert config.clips("train") == 21


def test_presets() -> None:
    assert len(PRESETS["scenes-8"].names) == 8
    assert PRESETS["scenes-30"].names == CLASSES
    solo = PRESETS["scenes-solo"]
    assert solo.names == PRESETS["scenes-8"].names and (solo.sounds_too, solo.throughout) == (0.0, 1.0)
    # A frame a second, and room for the paper's crop of 65,535 samples at 11,025 Hz.
    assert solo.frames == solo.seconds > 65_535 / 11_025


@pytest.mark.parametrize("count", [2, 3, 8, 30])
def test_every_class_has_one_partner_and_is_partner_of_one(count: int) -> None:
    names = CLASSES[:count]
    partners = [partner(names, name) for name in names]
    assert sorted(partners) == sorted(names)
    assert all(name != other for name, other in zip(names, partners, strict=True))
    if count % 2 == 0:
        assert [partner(names, other) for other in partners] == list(names)
