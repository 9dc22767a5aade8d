from typing import Any

import pytest

from cavs_dist.cluster.config import SlurmConfig, refuse_unfit
from cavs_dist.errors import InputError


def test_one_rank_a_gpu_unless_told_otherwise() -> None:
    assert SlurmConfig(gpus_per_node=8).ranks == 8
    assert SlurmConfig(gpus_per_node=0).ranks == 1
    assert SlurmConfig(gpus_per_node=0, ranks_per_node=2).ranks == 2


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"time": "30"},
        {"time": "2-00:00:00", "memory": "64G"},
        {"partition": "längst", "name": 'what it\'s $(date) "for" #1 %j \\', "qos": "high"},
        {"container": "docker://a/b:c d", "mounts": ("/data set:/data",)},
        {"options": ("--exclusive", "--constraint=a100&nvlink", "--comment=it's $(date)")},
    ],
)
def test_what_sbatch_can_be_told_is_taken(values: dict[str, Any]) -> None:
    refuse_unfit(SlurmConfig(**values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"time": "4 hours"}, "slurm.time is '4 hours'; expected minutes"),
        ({"memory": "64 GB"}, "slurm.memory is '64 GB'; expected a number and K, M, G or T"),
        ({"name": "a\nb"}, r"slurm.name is 'a\\nb': it must not hold line breaks"),
        ({"partition": "a b"}, "slurm.partition is 'a b'; expected a name without spaces"),
        ({"container": "a\rb"}, "slurm.container"),
        ({"mounts": ("/a,/b",)}, "slurm.mounts has '/a,/b': give each folder"),
        ({"options": ("exclusive",)}, "slurm.options has 'exclusive'; expected --name"),
        ({"options": ("--comment=a\n#SBATCH --wrap=b",)}, "slurm.options is .* line breaks"),
        ({"options": ("--nodes=3",)}, "slurm.options has '--nodes=3': --nodes is set from other keys"),
        ({"options": ("--outp=x",)}, "slurm.options has '--outp=x': --output is set from other keys"),
        ({"options": ("-N3",)}, "slurm.options has '-N3'; expected --name"),
    ],
)
def test_what_sbatch_would_misread_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        refuse_unfit(SlurmConfig(**values))
