"""Who is mixed with whom in the tests of "Continual Audio-Visual Sound Separation" (arXiv 2411.02860)."""

from random import Random


def paper_pairs(count: int) -> list[tuple[int, int]]:
    """Pair each of `count` test videos with one of all, itself included, as the released code does.

    The partner of i is `random.seed(i); random.randint(0, count - 1)`; the global generator is left alone. Videos are
    numbered in the order of the classes, those of earlier stages first.
    """
    return [(video, Random(video).randint(0, count - 1)) for video in range(count)]
