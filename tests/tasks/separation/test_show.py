from pathlib import Path

import numpy as np
import pytest

from cavs_dist.colour_map import colour_map
from cavs_dist.outputs.separation import Batch
from cavs_dist.tasks.separation import Separation
from cavs_dist.tasks.separation.show import coloured, sounds, spectrograms
from tests.tasks.separation.conftest import STAGES


@pytest.fixture
def examples(task: Separation, batches: list[Batch], tmp_path: Path) -> dict[str, np.ndarray]:
    model = task.make_model("main", STAGES[:1], "random")
    task.save_examples(model, batches[0], tmp_path / "examples.npz")
    with np.load(tmp_path / "examples.npz", allow_pickle=False) as kept:
        return dict(kept)


def test_a_mixture_is_heard_beside_its_estimates_and_truths(examples: dict[str, np.ndarray]) -> None:
    heard = sounds(examples, ("bell", "cow"), 11025)
    assert [sound.caption for sound in heard[:5]] == [
        "mixture 0: bell and cow",
        "mixture 0: bell, estimate",
        "mixture 0: bell, truth",
        "mixture 0: cow, estimate",
        "mixture 0: cow, truth",
    ]
    assert len(heard) == 10 and {sound.rate for sound in heard} == {11025}
    mixture, bell, cow = (heard[place].samples for place in (0, 2, 4))
    assert np.allclose(mixture, bell + cow, atol=1e-5)
    assert max(np.abs(sound.samples).max() for sound in heard[:5]) == pytest.approx(1)


def test_silence_stays_silence(examples: dict[str, np.ndarray]) -> None:
    silent = {**examples, "truth": 0 * examples["truth"], "estimates": 0 * examples["estimates"]}
    assert not any(sound.samples.any() for sound in sounds(silent, ("bell", "cow"), 11025))


def test_spectrograms_and_masks_are_drawn_with_low_frequencies_below(examples: dict[str, np.ndarray]) -> None:
    seen = spectrograms(examples, ("bell", "cow"))
    assert [picture.caption for picture in seen[:3]] == [
        "mixture 0: bell and cow",
        "mixture 0: bell, mask",
        "mixture 0: bell, true ratio mask",
    ]
    assert len(seen) == 10 and {picture.pixels.shape for picture in seen} == {(64, 32, 3)}
    drawn = coloured(np.array([[0.0, 0.5], [1.0, 2.0]]))
    assert drawn.tolist() == colour_map()[[[255, 255], [0, 128]]].tolist()
