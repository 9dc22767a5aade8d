"""What sbatch and bash make of these texts is in tests/slurm."""

import subprocess
from pathlib import Path

import pytest

from cavs_dist.cluster.config import SlurmConfig
from cavs_dist.cluster.script import container_settings, fill, log_of, log_pattern, sbatch_options
from cavs_dist.errors import InputError

TEMPLATE = """\
#!/bin/sh
# How to use it.
#SBATCH --nodes=1
#SBATCH --time=1:00
first=1
rest=()
echo "$first" "${rest[@]}"
"""
HOSTILE = ["a b", "it's", '"', "$(touch x)", "`touch x`", "\\", "ü", "-x", "a;b", "!", "*", ""]


def test_options_and_settings_are_put_where_the_template_has_its_own() -> None:
    text = fill(TEMPLATE, ["--nodes=2", "--requeue"], {"first": "2", "rest": ["a", "b c"]})
    assert text == (
        "#!/bin/sh\n# How to use it.\n#SBATCH --nodes=2\n#SBATCH --requeue\n"
        "first=2\nrest=(\n  a\n  'b c'\n)\n" + 'echo "$first" "${rest[@]}"\n'
    )


def test_values_reach_bash_unharmed(tmp_path: Path) -> None:
    template = TEMPLATE.replace("echo", "printf '%s\\0'")
    text = fill(template, [], {"first": "two\nlines", "rest": HOSTILE})
    done = subprocess.run(["bash"], input=text, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[:-1] == ["two\nlines", *HOSTILE]
    assert not list(tmp_path.iterdir())


def test_an_option_is_quoted_as_sbatch_reads_it() -> None:
    text = fill(TEMPLATE, ['--job-name=it\'s "$(x)" \\', "--exclusive", "--output=/a b/%j.log", "--x="], {})
    assert text.splitlines()[2:6] == [
        r'#SBATCH --job-name="it' + "'" + r's \"$(x)\" \\"',
        "#SBATCH --exclusive",
        '#SBATCH --output="/a b/%j.log"',
        '#SBATCH --x=""',
    ]


def test_what_a_config_asks_for_is_what_sbatch_is_told() -> None:
    config = SlurmConfig(
        nodes=4, gpus_per_node=8, cpus_per_rank=6, memory="200G", time="2-00:00:00", partition="long", account="lab",
        qos="high", lead=300, options=("--constraint=a100",),
    )  # fmt: skip
    assert sbatch_options(config, "cmr", Path("runs/cmr/slurm"), 3) == [
        "--job-name=cmr", "--nodes=4", "--ntasks-per-node=1", "--cpus-per-task=48", "--partition=long",
        "--account=lab", "--qos=high", "--mem=200G", "--gpus-per-node=8", "--array=0-2", "--time=2-00:00:00",
        "--signal=B:USR1@300", "--output=runs/cmr/slurm/%A_%a.log", "--open-mode=append", "--requeue",
        "--constraint=a100",
    ]  # fmt: skip


def test_nothing_is_asked_for_that_a_config_leaves_to_the_cluster() -> None:
    options = sbatch_options(SlurmConfig(gpus_per_node=0, name="mine"), "cmr", Path("logs"), 0)
    assert options[0] == "--job-name=mine" and "--output=logs/%j.log" in options
    assert not [option for option in options if option.startswith(("--gpus", "--mem", "--part", "--qos", "--array"))]


def test_a_log_is_where_its_pattern_says() -> None:
    assert log_pattern(Path("50% %j"), array=False) == "50%% %%j/%j.log"
    assert log_of(log_pattern(Path("50% %j"), array=False), "7", "") == "50% %j/7.log"
    assert log_of(log_pattern(Path("a"), array=True), "7", "2") == "a/7_2.log"
    for folder in ("a\\b", "a\nb"):
        with pytest.raises(InputError, match=r"^out is "):
            log_pattern(Path(folder), array=False)


def test_containers_are_started_by_their_runtime() -> None:
    config = SlurmConfig(container="an image.sif", mounts=("/data", "/scratch:/tmp"))
    words = ("apptainer", "exec", "--nv", "--bind", "/data", "--bind", "/scratch:/tmp", "an image.sif")
    assert container_settings(config) == {"srun_options": (), "container": words}
    config = SlurmConfig(container="docker://a/b", runtime="pyxis", mounts=("/data", "/scratch:/tmp"))
    options = ("--container-image=docker://a/b", "--container-mounts=/data,/scratch:/tmp")
    assert container_settings(config) == {"srun_options": options, "container": ()}
    assert container_settings(SlurmConfig()) == {"srun_options": (), "container": ()}
