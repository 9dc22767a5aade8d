"""A checkpoint on another number of ranks or another ZeRO stage, through DeepSpeed's universal format."""

import io
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

from cavs_dist import distributed
from cavs_dist.engine import Engine
from cavs_dist.engine_files import FILES, plain_link, reading
from cavs_dist.files import writing
from cavs_dist.pulse import waiting

from deepspeed.checkpoint import ds_to_universal  # isort: skip


def load_recut(engine: Engine, checkpoint: Path, beside: Path) -> None:
    """Load a checkpoint that was cut for other ranks. Collective.

    beside: a folder that all ranks see, for the converted files, three times the weights' size and more; it is removed.
    InputError on all ranks where the checkpoint cannot be read, or the converted files not be written.
    """
    try:
        with distributed.together():
            if distributed.is_first():
                with reading(checkpoint) as link, writing(beside), waiting():  # it may take long
                    (beside / FILES).mkdir(parents=True)
                    convert(link / FILES, beside / FILES)
        with reading(checkpoint), plain_link(beside) as converted:
            engine.load_universal(converted)
        distributed.barrier()
    finally:
        if distributed.is_first():
            shutil.rmtree(beside, ignore_errors=True)


def convert(source: Path, target: Path) -> None:
    """Convert DeepSpeed's files of ZeRO 1 or 2 into the folder `target`; by one rank, in this process, silently."""
    with plain_link(target) as link, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        ds_to_universal.main(
            SimpleNamespace(
                input_folder=str(source),
                output_folder=str(link),
                num_extract_workers=1,
                num_merge_workers=1,
                keep_temp_folder=False,
                strict=True,
                inject_missing_state=True,
            )
        )
