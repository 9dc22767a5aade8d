"""What goes into a segmenter and what comes out of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from cavs_dist.outputs import batch
from cavs_kernels.head import Head


@dataclass(frozen=True)
class Batch(batch.Batch):
    """Some clips of one update on one rank. N = B * T frames; a clip's frames are consecutive.

    keys: B clip keys. from_memory: [B] bool, rehearsed clips.
    frames: [N, 3, H, W] float, normalised. audio: [N, 1, 96, 64] log-mel examples, one a frame.
    labels: [N, H, W] int64, stage order, 0 background, 255 ignored (the whole frame where it is not annotated).
    present: [B, T] bool, False on padded frames. annotated: [B, T] bool, False where a frame has no truth.
    label_weight, frame_weight: [N] float, of annotated and of present frames.
    """

    WEIGHTS: ClassVar[tuple[str, ...]] = ("label_weight", "frame_weight")

    frames: Tensor
    audio: Tensor
    labels: Tensor
    present: Tensor
    annotated: Tensor
    label_weight: Tensor
    frame_weight: Tensor

    @property
    def frames_from_memory(self) -> Tensor:
        """[N] bool: the frames of rehearsed clips."""
        return self.from_memory.repeat_interleave(self.present.shape[1])

    def one_by_one(self) -> Iterator[Self]:
        """Yield each clip as a batch of its own."""
        frames = self.present.shape[1]
        for number, key in enumerate(self.keys):
            clip, inside = slice(number, number + 1), slice(number * frames, (number + 1) * frames)
            by_clip = {name: getattr(self, name)[clip] for name in ("from_memory", "present", "annotated")}
            names = ("frames", "audio", "labels", "label_weight", "frame_weight")
            yield type(self)(keys=(key,), **by_clip, **{name: getattr(self, name)[inside] for name in names})


@dataclass(frozen=True)
class Outputs:
    """What a segmenter gives for N frames; full-resolution logits are made only when asked for.

    levels: the maps after attention, finest first, each [N, C, h, w]. head_map: [N, C, H/2, W/2], the decoder's last.
    features: [N, D, H, W], what the classifier reads. weight [K, D] and bias [K]: the classifier over background and
    all classes seen, in stage order. audio: the projected audio of each level, each [N, C] (empty if visual-only).
    """

    levels: tuple[Tensor, ...]
    head_map: Tensor
    features: Tensor
    weight: Tensor
    bias: Tensor
    audio: tuple[Tensor, ...] = ()

    @property
    def num_classes(self) -> int:
        """Background and the classes seen."""
        return self.weight.shape[0]

    @property
    def maps(self) -> tuple[Tensor, ...]:
        """The maps that feature distillation compares: every level and the head map."""
        return (*self.levels, self.head_map)

    @property
    def head(self) -> Head:
        """What ops read that make no logits in full."""
        return Head(self.features, self.weight, self.bias)

    def logits(self) -> Tensor:
        """Return [N, K, H, W] logits, in float32 at least: bf16 would round what losses compare."""
        return self.head.logits()

    def prediction(self) -> Tensor:
        """Return [N, H, W] int64: the most probable class of each pixel, the first of equals."""
        return most_probable(self.logits())


def most_probable(scores: Tensor) -> Tensor:
    """Return the class of the largest of [N, K, H, W] scores, [N, H, W] int64; the first of equals.

    `max` gives what `argmax` gives; over a dimension that is not the last a CPU finds it 2 to 10 times faster.
    """
    return scores.max(dim=1).indices
