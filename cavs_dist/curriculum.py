"""The curriculum: in which order classes arrive, cut into stages, and which clips belong to which stage."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from cavs_dist.errors import InputError
from cavs_dist.randomness import keyed_hash

Protocol = Literal["overlapped", "disjoint"]
REST = "..."


@dataclass(frozen=True)
class Stage:
    """One increment: its new classes and all classes seen, by name, in the order of the curriculum.

    The label of a class is 1 + its position in `seen`; 0 is background. `seen` ends with `new`.
    """

    index: int
    new: tuple[str, ...]
    seen: tuple[str, ...]

    @property
    def old(self) -> tuple[str, ...]:
        """The classes of earlier stages."""
        return self.seen[: self.num_old]

    @property
    def num_old(self) -> int:
        """How many classes earlier stages brought, without background."""
        return len(self.seen) - len(self.new)

    @property
    def num_labels(self) -> int:
        """Background and all classes seen."""
        return 1 + len(self.seen)


@dataclass(frozen=True)
class CurriculumConfig:
    """How classes are ordered and cut into stages.

    order: `[alphabetical]`, `[seed]` (shuffled by `order_seed`), or class names, of which one may be `...` for all
    that are not named, alphabetically; without it, classes that are not named are never learned.
    order_seed: of the order `[seed]`. split: `X-Y` is X classes, then Y a stage; `X` is one stage.
    protocol: `overlapped` keeps a stage's clips that hold classes of later stages too, `disjoint` leaves them out.
    """

    order: tuple[str, ...] = ("alphabetical",)
    order_seed: int = 0
    split: str = "4-2"
    protocol: Protocol = "overlapped"


def make_stages(names: Collection[str], config: CurriculumConfig) -> tuple[Stage, ...]:
    """Order the data set's class `names` and cut them into stages.

    Raises InputError for a class that is unknown or named twice, and for a split that the classes do not fill evenly.
    """
    order = _ordered(names, config)
    sizes = _sizes(config.split, len(order))
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    return tuple(
        Stage(index, new=order[end - size : end], seen=order[:end])
        for index, (size, end) in enumerate(zip(sizes, ends, strict=True))
    )


def in_stage(classes: Collection[str], stages: Sequence[Stage], index: int, protocol: Protocol) -> bool:
    """Tell whether a training or validation clip with these audible `classes` belongs to the stage.

    Overlapped (PLOP, arXiv 2011.11390): one of its classes is new here. Disjoint: and none belongs to a later stage.
    """
    if set(classes).isdisjoint(stages[index].new):
        return False
    later = stages[-1].seen[len(stages[index].seen) :]
    return protocol == "overlapped" or set(classes).isdisjoint(later)


def _ordered(names: Collection[str], config: CurriculumConfig) -> tuple[str, ...]:
    match config.order:
        case ("alphabetical",):
            return tuple(sorted(names))
        case ("seed",):
            return tuple(sorted(names, key=lambda name: (keyed_hash("order", config.order_seed, name), name)))
    _refuse_wrong_names(names, config.order)
    if REST not in config.order:
        return config.order
    at = config.order.index(REST)
    rest = sorted(set(names) - set(config.order))
    return (*config.order[:at], *rest, *config.order[at + 1 :])


def _refuse_wrong_names(names: Collection[str], order: Sequence[str]) -> None:
    if not order:
        raise InputError("curriculum.order is empty: give alphabetical, seed, or class names")
    twice = sorted(name for name, count in Counter(order).items() if count > 1)
    if twice:
        raise InputError(f"curriculum.order names {', '.join(twice)} more than once: a class arrives in one stage only")
    unknown = sorted(set(order) - set(names) - {REST})
    if unknown:
        raise InputError(
            f"curriculum.order names {', '.join(unknown)}, but the data set's classes are {', '.join(sorted(names))}"
        )


def _sizes(split: str, count: int) -> list[int]:
    """Return the number of new classes of each stage, `count` in all."""
    found = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", split)
    if not found:
        raise InputError(f"curriculum.split is {split!r}: expected X (one stage of X classes) or X-Y, such as 4-2")
    first, more = int(found[1]), int(found[2] or 0)
    left = count - first
    if left < 0 or (left % more if more else left):
        raise InputError(
            f"curriculum.split {split} does not come out even with {count} classes: "
            f"{', '.join(_even_splits(first, count))} would"
        )
    return [first] + [more] * (left // more if more else 0)


def _even_splits(first: int, count: int) -> list[str]:
    left = count - first
    return [f"{first}-{more}" for more in range(1, left + 1) if left % more == 0] or [str(count)]
