"""Begin where another run's stage 0 ended (`train.start`), so that methods are compared from one first stage."""

import shutil
from pathlib import Path

from cavs_dist.config import as_tree, read_config
from cavs_dist.errors import InputError
from cavs_dist.files import whole
from cavs_dist.run_folder import FREE, RunFolder, flatten, write_json
from cavs_dist.setting import Setting
from cavs_dist.tasks.base import ModelRole

# What stage 0 depends on; the rest may differ from run to run.
SAME = ("seed", "task", "curriculum", "data", "model", "optim", "train.epochs", "train.keep")


def open_start(setting: Setting) -> RunFolder | None:
    """Return the folder that stage 0 is still to be taken from, if any.

    InputError where it is no run's folder, or its stage 0 is another.
    """
    start, run = setting.run.train.start, setting.run
    remembers = run.memory.select != "none" and (len(setting.stages) > 1 or run.memory.last)
    last = "memory.json" if remembers else "main.safetensors"  # twins are taken over in between
    if not start or setting.folder.product(0, last).exists():
        return None
    folder = RunFolder(Path(start))
    if not folder.product(0, "main.safetensors").exists():
        raise InputError(f"train.start={start} has no finished stage 0: train that run first")
    there, here = flatten(read_config(folder.path / "config.yaml")), flatten(as_tree(setting.run))
    different = [
        key for key in sorted(here) if key.startswith(SAME) and not key.startswith(FREE) and there.get(key) != here[key]
    ]
    if folder.data() != setting.train.digest:
        different.append("data.path")
    if different:
        raise InputError(
            f"train.start={start} learned its stage 0 with other values of {', '.join(different)}: "
            "its weights do not fit this comparison"
        )
    return folder


def adopt(start: RunFolder, folder: RunFolder, role: ModelRole) -> bool:
    """Take over the weights of stage 0, if `start` has them for this role; by rank 0. Tell whether it has."""
    source, product = start.product(0, f"{role}.safetensors"), folder.product(0, f"{role}.safetensors")
    if not source.exists():
        return False
    write_json(folder.product(0, f"{role}.json"), {"updates": 0})
    with whole(product) as beside:
        shutil.copyfile(source, beside)
    return True
