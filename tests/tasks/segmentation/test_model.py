from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cavs_dist.config import load_run
from cavs_dist.curriculum import Stage
from cavs_dist.errors import InputError
from cavs_dist.models.audio import VGGish
from cavs_dist.models.norm import SyncNorm
from cavs_dist.outputs.segmentation import Batch
from cavs_dist.tasks.segmentation.model import ModelConfig, Segmenter, make_segmenter

SMALL = ModelConfig(channels=16, features=8)
STAGES = [Stage(0, ("dog", "drum"), ("dog", "drum")), Stage(1, ("bird",), ("dog", "drum", "bird"))]


def segmenter(config: ModelConfig = SMALL, role: str = "main") -> Segmenter:
    model = make_segmenter(config, role, 7)  # type: ignore[arg-type]
    for stage in STAGES:
        model.grow(stage, "random", 7)
    return model


def make_batch(size: int = 32, frames: int = 4) -> Batch:
    """Two clips, the second padded after its first frame."""
    torch.manual_seed(0)
    present = torch.tensor([[True] * frames, [True] + [False] * (frames - 1)])
    flat = present.flatten()
    pictures, sounds = torch.randn(len(flat), 3, size, size), torch.randn(len(flat), 1, 96, 64)
    labels = torch.where(flat[:, None, None], torch.randint(4, (len(flat), size, size)), 255)
    memory = torch.zeros(2, dtype=torch.bool)
    return Batch(("a", "b"), memory, pictures, sounds, labels, present, present, flat.float(), flat.float())


def heard(model: Segmenter) -> Segmenter:
    """The model with attention that does something: its update starts at 0."""
    for attention in model.attention:
        torch.nn.init.ones_(attention.norm.weight)
    return model.eval()


@pytest.mark.parametrize("size", [32, 50])
def test_shapes(size: int) -> None:
    outputs = segmenter()(make_batch(size))
    sides = [-(-size // 4), -(-size // 8), -(-size // 16), -(-size // 32)]
    assert [tuple(level.shape) for level in outputs.levels] == [(8, 16, side, side) for side in sides]
    assert outputs.head_map.shape == (8, 16, 2 * sides[0], 2 * sides[0])
    assert outputs.features.shape == (8, 8, size, size)
    assert outputs.logits().shape == (8, 4, size, size) and outputs.num_classes == 4
    assert [tuple(audio.shape) for audio in outputs.audio] == [(8, 16)] * 4


@pytest.mark.parametrize("norm", ["group", "frozen"])
def test_padded_frames_are_zero_and_change_nothing(norm: str) -> None:
    model, batch = heard(segmenter(replace(SMALL, norm=norm))), make_batch()  # type: ignore[arg-type]
    outputs = model(batch)
    for maps in (*outputs.maps, outputs.features):
        assert not maps[5:].any() and maps[4].any()
    padded = ~batch.present.view(-1, 1, 1, 1)
    other = replace(batch, frames=batch.frames.where(~padded, 9.0), audio=batch.audio.where(~padded, -9.0))
    torch.testing.assert_close(model(other).features, outputs.features)


def test_the_twin_sees_and_does_not_hear() -> None:
    twin, batch = heard(segmenter(role="twin")), make_batch()
    outputs = twin(batch)
    assert twin.audio is None and outputs.audio == ()
    assert twin(replace(batch, audio=batch.audio + 1)).features.equal(outputs.features)
    assert not twin(replace(batch, frames=batch.frames + 1)).features.equal(outputs.features)
    assert not twin.embed(batch).any()


@pytest.mark.parametrize("attention", ["dot", "softmax"])
def test_the_main_model_hears_after_a_step(attention: str) -> None:
    model, batch = segmenter(replace(SMALL, attention=attention)), make_batch()  # type: ignore[arg-type]
    louder = replace(batch, audio=batch.audio + torch.randn_like(batch.audio))
    assert model(louder).features.equal(model(batch).features)
    torch.nn.functional.cross_entropy(model(batch).logits(), batch.labels, ignore_index=255).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert not model(louder).features.equal(model(batch).features)
    model.zero_grad()
    torch.nn.functional.cross_entropy(model(batch).logits(), batch.labels, ignore_index=255).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_an_embedding_can_stand_in_for_the_sound() -> None:
    model, batch = heard(segmenter()), make_batch()
    embedding = model.embed(batch)
    assert not embedding[5:].any() and embedding[:5].any(dim=1).all()
    assert model(replace(batch, audio=batch.audio * 0), embedding).features.equal(model(batch).features)
    assert not model(batch, embedding * 0).features.equal(model(batch).features)


def test_frames_hear_their_group_alone() -> None:
    batch = make_batch()
    louder = replace(batch, audio=torch.cat((batch.audio[:2], batch.audio[2:] + 1)))
    for group, same in ((2, True), (0, False)):
        model = heard(segmenter(replace(SMALL, group=group)))
        assert model(louder).features[:2].equal(model(batch).features[:2]) == same
    with pytest.raises(InputError, match=r"model\.group=3 does not divide the 4 frames"):
        segmenter(replace(SMALL, group=3))(batch)


def test_the_seed_decides_alone() -> None:
    first, again, other = segmenter(), segmenter(), make_segmenter(SMALL, "main", 8)
    assert all(a.equal(b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not next(first.parameters()).equal(next(other.parameters()))


def test_a_frozen_backbone_stays_as_it_is() -> None:
    model = segmenter(replace(SMALL, backbone="test_resnet", norm="sync", freeze=True)).train()
    norms = [module for module in model.visual.modules() if isinstance(module, SyncNorm)]
    before = [norm.mean.clone() for norm in norms]
    model(make_batch()).features.sum().backward()
    assert norms and all(norm.mean.equal(mean) for norm, mean in zip(norms, before, strict=True))
    assert not any(p.requires_grad for p in model.visual.parameters())
    assert model.decoder.training and model.attention[0].norm.mean.any()


def test_a_frozen_vit_keeps_a_pyramid_to_train() -> None:
    model = segmenter(replace(SMALL, backbone="test_vit", freeze=True))
    assert not any(p.requires_grad for p in model.visual.body.parameters())
    assert all(p.requires_grad for p in model.visual.eighth.parameters())


@pytest.mark.filterwarnings("ignore:.*to a meta parameter")
@pytest.mark.parametrize("backbone", ["pvt_v2_b5", "resnet50", "vit_small_patch16_dinov3"])
def test_the_paper_s_model_builds(tmp_path: Path, backbone: str) -> None:
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in VGGish().state_dict().items()}
    torch.save({name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}, tmp_path / "vggish.pth")
    given = ["data.path=none", f"model.audio_weights={tmp_path / 'vggish.pth'}", "model.weights=''"]
    config = load_run("segmentation/avsbench", [*given, f"model.backbone={backbone}"]).model
    with torch.device("meta"):
        outputs = segmenter(config)(make_batch(224, frames=10).to(torch.device("meta")))
    assert [level.shape for level in outputs.levels] == [(20, 256, side, side) for side in (56, 28, 14, 7)]
    assert outputs.head_map.shape == (20, 256, 112, 112) and outputs.features.shape == (20, 32, 224, 224)
