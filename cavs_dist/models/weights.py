"""Read weights from a file that nobody vouches for."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cavs_dist.errors import InputError


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name from a .safetensors file, or a .pth or .pt file without any code in it.

    Raises InputError where the file is missing, unreadable, or holds anything but tensors.
    """
    if not path.is_file():
        raise InputError(f"no weights at {path}: give the path of a .safetensors, .pth or .pt file")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read as weights ({error}): expected tensors by name") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds something else than tensors by name: save the model's state_dict alone")
    return state


def load_weights(module: nn.Module, path: Path, *, but: tuple[str, ...] = ()) -> None:
    """Load a file into `module`; names that start with one of `but` may be in the file or the module alone.

    Raises InputError naming what is missing, unknown or of another shape.
    """
    state, own = read_weights(path), module.state_dict()
    wanted = {name for name in own if not name.startswith(but or ("\0",))}
    found = {name for name in state if not name.startswith(but or ("\0",))}
    wrong = [f"{name} is missing" for name in sorted(wanted - found)]
    wrong += [f"{name} is unknown" for name in sorted(found - wanted)]
    wrong += [
        f"{name} has shape {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in sorted(wanted & found)
        if state[name].shape != own[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise InputError(f"{path} does not fit this model: {'; '.join(wrong[:5])}{more}")
    module.load_state_dict({name: state[name] for name in wanted}, strict=False)
