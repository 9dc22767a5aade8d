from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from cavs_dist.errors import InputError
from cavs_dist.models.norm import SyncNorm
from cavs_dist.models.visual import ViTPyramid, make_visual_encoder

NAMES = ["small", "test_resnet", "test_efficientnet", "test_convnext", "test_vit"]


@pytest.mark.parametrize("name", NAMES)
def test_four_levels_of_strides_4_to_32(name: str) -> None:
    encoder = make_visual_encoder(name, "", "group")
    levels = encoder(torch.randn(2, 3, 64, 96))
    assert [level.shape[1] for level in levels] == list(encoder.channels)
    assert [level.shape[2:] for level in levels] == [(64 // stride, 96 // stride) for stride in (4, 8, 16, 32)]


@pytest.mark.parametrize("name", ["resnet50", "pvt_v2_b5", "vit_small_patch16_dinov3"])
def test_backbones_of_the_paper_s_size(name: str) -> None:
    with torch.device("meta"):
        levels = make_visual_encoder(name, "", "sync")(torch.empty(1, 3, 224, 224))
    assert [level.shape[-1] for level in levels] == [56, 28, 14, 7]


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"])
def test_a_file_of_timm_s_whole_model_fits(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    whole, frames = timm.create_model(name).eval(), torch.randn(1, 3, 160, 160)
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    encoder = make_visual_encoder(name, str(tmp_path / "w.pth"), "frozen").train()
    if isinstance(encoder, ViTPyramid):
        [expected] = whole.forward_intermediates(frames, indices=[-1], norm=False, intermediates_only=True)
        torch.testing.assert_close(encoder.eval().body(frames)[-1], expected)
    else:
        expected = whole.forward_intermediates(frames, intermediates_only=True)[-1]
        torch.testing.assert_close(encoder(frames)[-1], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("norm", "frozen"), [("sync", False), ("group", False), ("frozen", True)])
def test_no_batch_norm_of_a_rank_s_own_is_left(norm: str, frozen: bool) -> None:
    modules = list(make_visual_encoder("test_efficientnet", "", norm).modules())  # type: ignore[arg-type]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in modules)
    assert {module.frozen for module in modules if isinstance(module, SyncNorm)} == {frozen}


def test_our_own_takes_weights_from_a_file(tmp_path: Path) -> None:
    there, path = make_visual_encoder("small", "", "group"), tmp_path / "w.pt"
    torch.save(there.state_dict(), path)
    frames = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(make_visual_encoder("small", str(path), "group")(frames), there(frames))
    with pytest.raises(InputError, match="does not fit this model"):
        make_visual_encoder("test_resnet", str(path), "group")


@pytest.mark.parametrize(
    ("name", "weights"), [("small", "no.pth"), ("test_resnet", "no.pth"), ("test_resnet", "timm"), ("test_vit", "timm")]
)
def test_no_weights_are_looked_for_where_there_are_no_values(
    name: str, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # what would be fetched raises
    with torch.device("meta"):
        encoder = make_visual_encoder(name, weights, "sync")
    there = {key: value.shape for key, value in encoder.state_dict().items()}
    assert there == {key: value.shape for key, value in make_visual_encoder(name, "", "sync").state_dict().items()}


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(InputError, match="near it: resnet50"):
        make_visual_encoder("resnet5", "", "group")
    with pytest.raises(InputError, match=r"strides \[16, 32, 64\]; expected"):
        make_visual_encoder("levit_128", "", "group")
