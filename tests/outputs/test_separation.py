from dataclasses import replace

import pytest
import torch

from cavs_dist.outputs.separation import Batch, Outputs


def make(mixtures: int = 3) -> Batch:
    """Mixtures of distinct numbers everywhere."""
    rows = 2 * mixtures

    def numbers(*shape: int) -> torch.Tensor:
        return torch.arange(rows * torch.Size(shape).numel()).view(rows, *shape)

    return Batch(
        keys=tuple(f"clip-{number}" for number in range(rows)),
        from_memory=numbers() % 3 == 0,
        waveforms=numbers(5).double(),
        frames=numbers(2, 3, 4, 4).float(),
        objects=torch.empty(rows, 0),
        motion=numbers(6, 8).float(),
        classes=numbers() % 4,
        videos=numbers() + 2**62,
        weight=torch.ones(rows),
        memory_weight=(numbers() % 3 == 0).float(),
    )


def test_neighbours_are_the_sources_of_a_mixture() -> None:
    batch = make()
    assert batch.sources.shape == (3, 2, 5) and batch.sources.dtype == torch.float64
    for b in range(3):
        assert batch.sources[b, 0].equal(batch.waveforms[2 * b])
        assert batch.sources[b, 1].equal(batch.waveforms[2 * b + 1])


def test_each_mixture_is_a_batch_of_its_own() -> None:
    batch = make()
    ones = list(batch.one_by_one())
    assert [one.keys for one in ones] == [("clip-0", "clip-1"), ("clip-2", "clip-3"), ("clip-4", "clip-5")]
    for name, value in vars(batch).items():
        if name != "keys":
            parts = [getattr(one, name) for one in ones]
            assert torch.cat(parts).equal(value) and {len(part) for part in parts} == {2}, name
    assert [one.sources.tolist() for one in ones] == batch.sources.unsqueeze(1).tolist()


def test_its_two_weights_have_a_factor_each() -> None:
    batch = make()
    weighed = batch.weighed(torch.tensor([2.0, 0.25]))
    assert weighed.weight.equal(2 * batch.weight) and weighed.memory_weight.equal(batch.memory_weight / 4)
    assert replace(weighed, weight=batch.weight, memory_weight=batch.memory_weight).waveforms is batch.waveforms


def test_moving_keeps_all_that_it_holds() -> None:
    moved = make().to(torch.device("meta"))
    tensors = {name: value for name, value in vars(moved).items() if name != "keys"}
    assert {tensor.device.type for tensor in tensors.values()} == {"meta"} and moved.keys == make().keys
    assert {name: (value.shape, value.dtype) for name, value in tensors.items()} == {
        name: (value.shape, value.dtype) for name, value in vars(make()).items() if name != "keys"
    }


@pytest.mark.parametrize("moves", [True, False])
def test_contrast_compares_the_modalities_that_there_are(moves: bool) -> None:
    audio, seen, motion = (torch.randn(4, 6) for _ in range(3))
    mask, nothing = torch.rand(2, 2, 3, 3), torch.empty(0)
    outputs = Outputs(
        mixture=mask[:, :1], sources=mask, masks=mask, audio=audio, object=seen, motion=motion if moves else None,
        attention=nothing, maps=(), queries=nothing, sound=nothing,
    )  # fmt: skip
    found = outputs.modalities
    assert list(found) == ["audio", "object", "motion"][: 2 + moves]
    assert found["audio"] is audio and found["object"] is seen and found.get("motion", motion) is motion
