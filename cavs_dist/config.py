"""A run as one frozen value: YAML section = dataclass, key = field, and nothing else.

Two passes: task and method are named first, then their own sections are read into their own dataclasses.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from cavs_dist import paths
from cavs_dist.cluster.config import SlurmConfig
from cavs_dist.curriculum import CurriculumConfig
from cavs_dist.data.config import DataConfig
from cavs_dist.data.rehearse import RehearseConfig
from cavs_dist.engine import EngineConfig, OptimConfig
from cavs_dist.errors import InputError
from cavs_dist.memory.memory import MemoryConfig
from cavs_dist.methods import METHODS
from cavs_dist.methods.base import MethodConfig
from cavs_dist.tasks import TASKS
from cavs_dist.tasks.base import TaskConfig
from cavs_dist.track import TrackConfig

MISSING = "???"


@dataclass(frozen=True)
class TrainConfig:
    """The section `train`.

    epochs: passes over a stage's clips, by the main model and by the twin. start: a run folder whose stage 0 this run
    takes over instead of training it. keep: a stage's last weights, or the best on validation clips (looked at after
    every epoch). checkpoint_every: updates between two checkpoints, 0 for none within a stage. checkpoints: how many
    are kept. on_nonfinite: what an update does whose loss or gradient is not finite; with `skip` it moves nothing.
    nonfinite_budget: how many are skipped in the training of one model over a stage before the run ends.
    """

    epochs: int = 1
    start: str = ""
    keep: Literal["last", "best"] = "last"
    checkpoint_every: int = 100
    checkpoints: int = 2
    on_nonfinite: Literal["stop", "skip"] = "stop"
    nonfinite_budget: int = 10


@dataclass(frozen=True)
class Run:
    """Everything that a run is. out: its folder. seed: of weights, order, augmentation, draws and random selection."""

    out: str
    seed: int
    task: TaskConfig
    curriculum: CurriculumConfig
    method: MethodConfig
    data: DataConfig
    model: Any
    memory: MemoryConfig
    rehearse: RehearseConfig
    optim: OptimConfig
    train: TrainConfig
    engine: EngineConfig
    evaluate: Any
    track: TrackConfig = field(default_factory=TrackConfig)
    slurm: SlurmConfig = field(default_factory=SlurmConfig)


def load_run(name: str, overrides: Sequence[str] = ()) -> Run:
    """Read a config (a path, or a shipped one's name), its base, and `key=value` overrides.

    Raises InputError, one sentence, for an unknown key (with the nearest known one), a wrong type, a missing value.
    """
    path = paths.find_config(name)
    tree = read_config(path)
    base = tree.pop("base", None)
    layers = [(str(path), tree)] + [(override, parse_override(override)) for override in overrides]
    if base is not None:
        layers.insert(0, (str(base), _read_base(str(base), path)))
    return merge(layers, default_out=f"runs/{path.stem}")


def _read_base(base: str, path: Path) -> dict[str, Any]:
    beside = path.parent / f"{base}.yaml"
    tree = read_config(beside if beside.is_file() else paths.find_config(base))
    if "base" in tree:
        raise InputError(f"{path}: its base {base} has a base itself; one level is all there is: name {tree['base']}")
    return tree


def merge(layers: Sequence[tuple[str, Mapping[str, Any]]], default_out: str) -> Run:
    """Merge (where it is from, tree) layers, later ones over earlier ones, into a Run."""
    task = _chosen(layers, "task", TASKS, "segmentation")
    method = _chosen(layers, "method", METHODS[task], "fine_tune")
    defaults = Run(
        out=default_out,
        seed=0,
        task=TaskConfig(),
        curriculum=CurriculumConfig(),
        method=METHODS[task][method].Config(name=method),
        data=DataConfig(path=MISSING),
        model=TASKS[task].ModelConfig(),
        memory=MemoryConfig(),
        rehearse=RehearseConfig(),
        optim=OptimConfig(),
        train=TrainConfig(),
        engine=EngineConfig(),
        evaluate=TASKS[task].EvaluateConfig(),
    )
    return structure(defaults, layers)


def structure(defaults: Any, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Any:
    """Merge layers into a copy of the dataclass instance `defaults`, checking keys and types."""
    merged = OmegaConf.structured(defaults)
    for source, tree in layers:
        _refuse_unknown(tree, defaults, source, "")
        try:
            merged = OmegaConf.merge(merged, tree)
            made = OmegaConf.to_object(merged)
            OmegaConf.structured(made)  # a list within a list passes the merge, but not this
        except MissingMandatoryValue:
            pass  # a later layer may have it
        except (OmegaConfBaseException, TypeError) as error:
            key = getattr(error, "full_key", None) or next(iter(tree))
            raise InputError(f"{source}: {key}: {str(error).splitlines()[0]}") from error
    try:
        return OmegaConf.to_object(merged)
    except MissingMandatoryValue as error:
        raise InputError(f"{error.full_key} is missing: set it in the config or as {error.full_key}=...") from error


def as_tree(run: Any) -> dict[str, Any]:
    """Return a config as sections of plain values, as YAML gives them back."""
    return _plain(OmegaConf.to_container(OmegaConf.structured(run)))


def to_yaml(run: Any) -> str:
    """Write a config as YAML that reads back as the same."""
    return yaml.dump(as_tree(run), Dumper=_Dumper, sort_keys=False)


def parse_override(text: str) -> dict[str, Any]:
    """Parse `section.key=value` into a tree; the value is YAML."""
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", key):
        raise InputError(f"{text!r} is no override: expected key=value, such as optim.lr=1e-4")
    tree: Any = read_yaml(value, text)
    for part in reversed(key.split(".")):
        tree = {part: tree}
    return tree


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping."""
    try:
        tree = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} is no config: expected sections with keys, found {type(tree).__name__}")
    return tree


def read_yaml(text: str, source: str) -> Any:
    """Read YAML by the core rules of YAML 1.2; refuse interpolation (`${`) and a key given twice."""
    if "${" in text:
        raise InputError(f"{source}: interpolation with a dollar sign and a brace is not supported: write the value")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{source} is not YAML: {' '.join(str(error).split())}") from error


def _plain(value: Any) -> Any:
    """Turn tuples, at any depth, into the lists that YAML makes of them."""
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, (list, tuple)) else value


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: `4:00:00`, `on` and `0123` stay text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012, as in the class it comes from

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*) is not supported: write the value")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.YAMLError(f"{', '.join(twice)} is given twice, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes what _Loader reads."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012, as in the class it comes from


for _kind in (_Loader, _Dumper):
    for _tag, _pattern, _first in (
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
        ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
        ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ):
        _kind.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _chosen(layers: Sequence[tuple[str, Mapping[str, Any]]], section: str, known: Mapping[str, Any], name: str) -> str:
    for source, tree in layers:
        found = tree.get(section)
        if isinstance(found, Mapping) and "name" in found:
            name = str(found["name"])
            if name not in known:
                raise InputError(f"{source}: {section}.name is {name!r}; expected one of {', '.join(known)}")
    return name


def _refuse_unknown(tree: Mapping[str, Any], schema: Any, source: str, prefix: str) -> None:
    known = [item.name for item in fields(schema)]
    for key, value in tree.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known there: {', '.join(known)}"
            raise InputError(f"{source}: unknown key {prefix}{key}: {hint}")
        child = getattr(schema, key)
        if is_dataclass(child):
            if not isinstance(value, Mapping):
                example = f"{prefix}{key}.{fields(child)[0].name}"
                raise InputError(f"{source}: {prefix}{key} is a section: give its keys, such as {example}")
            _refuse_unknown(value, child, source, f"{prefix}{key}.")
