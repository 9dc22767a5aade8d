from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from cavs_dist.errors import InputError
from cavs_dist.models.audio import VGGish, make_audio_encoder


def test_the_small_one_hears_every_frame_by_itself() -> None:
    encoder, examples = make_audio_encoder("cnn", ""), torch.randn(3, 1, 96, 64)
    embeddings = encoder(examples)
    assert embeddings.shape == (3, 128)
    torch.testing.assert_close(encoder(examples[1:2]), embeddings[1:2])
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_vggish_layer_by_layer() -> None:
    """Six 3 x 3 convolutions, four pools, channels-last flattening, ReLU at the end (arXiv 1609.09430)."""
    torch.manual_seed(0)
    with torch.device("meta"):
        encoder = VGGish()
    encoder.to_empty(device="cpu")
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    state = dict(encoder.named_parameters())
    examples = torch.randn(2, 1, 96, 64)
    maps = examples
    for number, pool in ((0, True), (3, True), (6, False), (8, True), (11, False), (13, True)):
        maps = F.conv2d(maps, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1).relu()
        maps = F.max_pool2d(maps, 2) if pool else maps
    assert maps.shape == (2, 512, 6, 4)
    vector = torch.stack([maps[:, :, i, j] for i in range(6) for j in range(4)], dim=1).flatten(1)
    for number in (0, 2, 4):
        vector = F.linear(vector, state[f"embeddings.{number}.weight"], state[f"embeddings.{number}.bias"]).relu()
    torch.testing.assert_close(encoder(examples), vector, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*to a meta parameter")
def test_vggish_is_frozen(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in VGGish().state_dict().items()}
    torch.save({name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}, tmp_path / "vggish.pth")
    with torch.device("meta"):
        encoder = make_audio_encoder("vggish", str(tmp_path / "vggish.pth"))
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_vggish_needs_its_weights() -> None:
    with pytest.raises(InputError, match="audio_weights"):
        make_audio_encoder("vggish", "")
