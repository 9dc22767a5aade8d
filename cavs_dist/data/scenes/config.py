"""What can be chosen about the embedded benchmark, its two presets, and the checks of every value."""

import math
from dataclasses import dataclass
from difflib import get_close_matches

from cavs_dist.errors import InputError

CLASSES = (
    "piano", "violin", "guitar", "trumpet", "saxophone", "drum", "accordion", "flute", "harp", "cello",
    "bell", "banjo", "dog", "cat", "cow", "sheep", "pig", "horse", "duck", "hen",
    "bird", "lion", "train", "helicopter", "airplane", "boat", "bus", "saw", "man", "woman",
)  # fmt: skip

# Chosen for pictures and sounds that small networks told apart across the train/test split, each modality alone.
EIGHT = ("bell", "cow", "train", "violin", "woman", "trumpet", "sheep", "piano")


LEAST = {
    "num_classes": 0, "train": 0, "val": 0, "test": 0, "size": 16, "frames": 1, "seconds": 1, "seed": 0, "workers": 1,
    "clips_per_shard": 1,
}  # fmt: skip


@dataclass(frozen=True)
class ScenesConfig:
    """Options of the scenes benchmark.

    classes: names from the bank; a class's id in masks is 1 + its position here. num_classes: only the first so many
    of `classes` (0: all). train, val, test: clips a class (0: no such split). size: side of the square frames, pixels.
    frames: T. seconds: of sound. second: share of clips with a second object. partner_train (also val's), partner_test:
    rate at which the second object is the class's fixed partner, see `partner`. sounds_too: rate at which the second
    object sounds too. throughout: rate at which a sound plays from the clip's beginning to its end. seed: another seed,
    another benchmark. workers: rendering processes. clips_per_shard: of a tar.
    """

    classes: tuple[str, ...] = EIGHT
    num_classes: int = 0
    train: int = 125
    val: int = 15
    test: int = 60
    size: int = 64
    frames: int = 5
    seconds: float = 5.0
    second: float = 0.5
    partner_train: float = 0.7
    partner_test: float = 0.1
    sounds_too: float = 0.4
    throughout: float = 0.6
    seed: int = 0
    workers: int = 2
    clips_per_shard: int = 128

    def __post_init__(self) -> None:
        _check_classes(self)
        for name, least in LEAST.items():
            if not least <= (found := getattr(self, name)) < math.inf:
                raise InputError(f"scenes: {name}={found}, expected at least {least} and no infinity.")
        for name in ("second", "partner_train", "partner_test", "sounds_too", "throughout"):
            if not 0 <= (found := getattr(self, name)) <= 1:
                raise InputError(f"scenes: {name}={found} is a rate: expected 0 to 1.")
        if self.train + self.val + self.test == 0:
            raise InputError("scenes: train, val and test are all 0: ask for at least one clip a class.")
        if self.second > 0 and len(self.names) < 2:
            raise InputError(f"scenes: second={self.second} needs at least two classes: set second=0 or add a class.")

    @property
    def names(self) -> tuple[str, ...]:
        """The classes in use, in the order of their mask ids."""
        return self.classes[: self.num_classes] if self.num_classes else self.classes

    def clips(self, split: str) -> int:
        """Count the clips of `split`, all classes together."""
        return len(self.names) * {"train": self.train, "val": self.val, "test": self.test}[split]


def partner(names: tuple[str, ...], name: str) -> str:
    """Name the class that `name` often appears with: the one half the list away.

    For an even number of classes these are fixed pairs that join the first half of the list with the second.
    """
    return names[(names.index(name) + len(names) // 2) % len(names)]


def _check_classes(config: ScenesConfig) -> None:
    for name in config.classes:
        if name not in CLASSES:
            near = get_close_matches(name, CLASSES, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f"; expected some of {', '.join(CLASSES)}."
            raise InputError(f'scenes: the bank has no class "{name}"{hint}')
    if len(set(config.classes)) < len(config.classes):
        raise InputError(f"scenes: classes={','.join(config.classes)} names a class twice: name each once.")
    if not config.classes:
        raise InputError("scenes: classes is empty: name at least one class.")
    if config.num_classes > len(config.classes):
        raise InputError(
            f"scenes: num_classes={config.num_classes}, but only {len(config.classes)} classes are listed: "
            "list more in classes, or start from preset=scenes-30."
        )


PRESETS = {
    "scenes-8": ScenesConfig(),
    "scenes-solo": ScenesConfig(train=100, val=10, test=40, seconds=7.0, frames=7, sounds_too=0.0, throughout=1.0),
    "scenes-30": ScenesConfig(classes=CLASSES, train=100, val=10, test=30, size=96),
}
