import torch

from cavs_dist.doctor.seen import see, seen_by_torch


def test_another_interpreter_sees_what_this_one_does() -> None:
    seen = seen_by_torch()
    assert seen == see()
    assert len(seen.names) == torch.cuda.device_count()
    assert seen.build.split()[0] in ("CUDA", "ROCm", "CPU")
