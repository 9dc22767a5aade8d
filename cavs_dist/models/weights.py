"""Read weights from a file that nobody vouches for."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.errors import InputError


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name from a .safetensors file, or a .pth or .pt file without any code in it.

    Raises InputError where the file is missing, unreadable, or holds anything but tensors.
    """
    if not path.is_file():
        raise InputError(f"no weights at {path}: give the path of a .safetensors, .pth or .pt file")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    # The bytes come from outside: a damaged file makes the readers raise IndexError, AssertionError and more.
    except Exception as error:
        raise InputError(f"{path} cannot be read as weights ({error}): expected tensors by name") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds something else than tensors by name: save the model's state_dict alone")
    return state


def load_weights(module: nn.Module, path: Path, *, named: Callable[[str], str] = str, spare: bool = False) -> None:
    """Load a file into `module`. named: what the file calls a tensor of the module.

    spare: the file may hold more, as that of a backbone with its classifier. Raises InputError naming what is missing,
    unknown or of another shape. On the meta device, where a module has shapes and no values, nothing is read.
    """
    if distributed.device().type == "meta":
        return
    state = read_weights(path)
    # How many batches a batch norm has seen changes nothing here, and older files do not say.
    own = {name: value for name, value in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    wanted = {named(name): value for name, value in own.items()}
    wrong = [f"{name} is missing" for name in sorted(wanted.keys() - state.keys())]
    wrong += [] if spare else [f"{name} is unknown" for name in sorted(state.keys() - wanted.keys())]
    wrong += [
        f"{name} has shape {tuple(state[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & state.keys())
        if state[name].shape != wanted[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise InputError(f"{path} does not fit this model: {'; '.join(wrong[:5])}{more}")
    module.load_state_dict({name: state[named(name)] for name in own}, strict=False)
