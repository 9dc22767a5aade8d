"""Audio encoders: log-mel examples [N, 1, 96, 64] to one embedding a frame."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from cavs_dist.errors import InputError
from cavs_dist.models.weights import load_weights

AudioEncoder = Literal["cnn", "vggish"]
EMBEDDING = 128


def make_audio_encoder(name: AudioEncoder, weights: str) -> nn.Module:
    """Return the encoder [N, 1, 96, 64] -> [N, 128]: `cnn`, small, trained; or `vggish`, frozen, from a file."""
    if name == "cnn":
        return LogMelCNN()
    if not weights:
        raise InputError("model.audio=vggish needs its weights: set model.audio_weights to a .safetensors or .pth file")
    encoder = VGGish()
    load_weights(encoder, Path(weights))
    return encoder.requires_grad_(False)


class LogMelCNN(nn.Module):
    """Four strided convolutions, then the mean and the maximum over time and frequency."""

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 96)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((1, *channels), channels, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * channels[-1], EMBEDDING)

    def forward(self, examples: Tensor) -> Tensor:
        """Embed [N, 1, 96, 64] log-mel examples as [N, 128]."""
        maps = self.body((examples + 1.0) / 3.0)
        return self.head(torch.cat((maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))), dim=1))


class VGGish(nn.Module):
    """VGGish (Hershey et al., arXiv 1609.09430), ReLU at its end, no PCA; parameter names as in its PyTorch ports."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool"):
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 4 * 6, 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, EMBEDDING),
            nn.ReLU(),
        )

    def forward(self, examples: Tensor) -> Tensor:
        """Embed [N, 1, 96, 64] log-mel examples as [N, 128]; the flattening is channels last, as the weights expect."""
        return self.embeddings(self.features(examples).permute(0, 2, 3, 1).flatten(1))
