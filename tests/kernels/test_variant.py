import torch

from cavs_kernels.variant import architecture


def test_where_there_is_no_gpu_kernels_are_interpreted() -> None:
    assert architecture(torch.device("cpu")) == "cpu"
