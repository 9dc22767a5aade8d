import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cavs_dist import paths
from cavs_dist.config import as_tree, load_run, parse_override, read_config, read_yaml, to_yaml
from cavs_dist.errors import InputError
from cavs_dist.methods import METHODS

SHIPPED = sorted(str(path.relative_to(paths.folder("configs"))) for path in paths.folder("configs").rglob("*.yaml"))
WANTED = {"segmentation": ["data.path=shards", "model.audio_weights=vggish.pth"], "separation": ["data.path=shards"]}
BASES = {"segmentation": "base", "separation": "separation/base"}


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def sections(config: Any, name: str = "run") -> Iterator[tuple[str, Any]]:
    yield name, config
    for item in fields(config):
        if is_dataclass(value := getattr(config, item.name)):
            yield from sections(value, f"{name}.{item.name}")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_load_and_read_back_as_they_were(name: str, tmp_path: Path) -> None:
    run = load_run(name.removesuffix(".yaml"), WANTED["separation" if "separation" in name else "segmentation"])
    again = load_run(write(tmp_path / "config.yaml", to_yaml(run)), [f"out={run.out}"])
    assert again == run
    assert as_tree(again) == read_config(tmp_path / "config.yaml") == as_tree(run)


@pytest.mark.parametrize(("task", "method"), [(task, name) for task, methods in METHODS.items() for name in methods])
def test_every_key_is_explained_where_it_is_defined(task: str, method: str) -> None:
    run = load_run(BASES[task], [f"method.name={method}"])
    for name, section in sections(run):
        text = type(section).__doc__ or ""
        for item in fields(section):
            explained = re.search(rf"(?<![\w.]){item.name}(, \w+)*:", text)
            assert is_dataclass(getattr(section, item.name)) or explained, f"{name}.{item.name}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4:00:00", "4:00:00"), ("on", "on"), ("no", "no"), ("0123", "0123"), ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"), ("1e3", 1000.0), ("1e-4", 1e-4), ("-.5", -0.5), ("12", 12), ("true", True), ("~", None),
        ("''", ""), ("[1, a]", [1, "a"]),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = read_yaml(text, "here")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim: {lrr: 1}", "file.yaml: unknown key optim.lrr: did you mean optim.lr?"),
        ("optimiser: {lr: 1}", "file.yaml: unknown key optimiser: did you mean optim?"),
        ("data: {augment: {colours: 1}}", "unknown key data.augment.colours: did you mean data.augment.colour?"),
        ("method: {name: plop, pseudo: all}", "unknown key method.pseudo"),
        ("method: {name: plopp}", "method.name is 'plopp'; expected one of fine_tune, joint"),
        ("optim: {lr: fast}", "file.yaml: optim.lr: Value 'fast'"),
        ("train: {keep: worst}", "expected one of ['last', 'best']"),
        ("train: 3", "train is a section: give its keys, such as train.epochs"),
        ("seed: ${oc.env:HOME}", "file.yaml: interpolation"),
        ("seed: 1\nseed: 2", "seed is given twice, line 1"),
        ("seed: &a [*a]", "an alias (*) is not supported"),
        ("curriculum: {order: {a: b}}", "file.yaml: curriculum: Cannot merge"),
        ("data: {path: a}\nmodel: {dilations: [[1]]}", "file.yaml: dilations: Value"),
        ("optim: {lr: 1", "file.yaml is not YAML"),
        ("- seed", "expected sections with keys, found list"),
        ("seed: 1", "data.path is missing: set it in the config or as data.path=..."),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "file.yaml", text)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_run(path)
    assert "\n" not in str(caught.value)


def test_a_base_is_read_first_and_has_none_itself(tmp_path: Path) -> None:
    write(tmp_path / "first.yaml", "seed: 1\ndata: {path: a, size: 64}\noptim: {lr: 0.5}")
    second = write(tmp_path / "second.yaml", "base: first\ndata: {path: b}\nseed: 2")
    run = load_run(second, ["seed=3"])
    assert (run.seed, run.data.path, run.data.size, run.optim.lr) == (3, "b", 64, 0.5)
    with pytest.raises(InputError, match="one level is all there is: name first"):
        load_run(write(tmp_path / "third.yaml", "base: second"))


def test_an_override_has_one_form() -> None:
    assert parse_override("optim.lr=1e-4") == {"optim": {"lr": 1e-4}}
    assert parse_override("out=a=b") == {"out": "a=b"}
    for text in ("optim.lr", "--optim.lr=1", "optim..lr=1", "optim.lr = 1", "=1", "out=${x}"):
        with pytest.raises(InputError):
            parse_override(text)


def test_a_method_chosen_later_brings_its_own_keys() -> None:
    run = load_run("segmentation/cmr", ["method.name=plop", "memory.select=none"])
    assert run.method == METHODS["segmentation"]["plop"].Config(name="plop")
    assert replace(run, method=load_run("segmentation/cmr").method) != run
