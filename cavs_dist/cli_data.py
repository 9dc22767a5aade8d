"""`cavs-dist data ...`: make shards, look at them, check them, print their order."""

import os
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from cavs_dist.errors import InputError

app = typer.Typer(no_args_is_help=True, help="Make shards, look at them, check them, print their order.")
console = Console()

Folder = Annotated[Path, typer.Argument(help="a folder of shards")]
Place = Annotated[str, typer.Argument(metavar="FOLDER", help="a folder of shards, or its address on a server")]
Reach = Annotated[
    list[str] | None, typer.Argument(help="of data.remote: hosts=[HOST] or buckets=[BUCKET] ...", show_default=False)
]
Out = Annotated[Path, typer.Argument(help="the folder of shards to make")]
Overrides = Annotated[Optional[list[str]], typer.Argument(help="key=value ...", show_default=False)]  # noqa: UP045
Workers = Annotated[int, typer.Option(help="processes")]
CORES = os.cpu_count() or 1
Seconds = Annotated[float, typer.Option(help="the longest sound that is read")]
STANDARD_SECONDS = 120.0


@app.command("scenes")
def scenes(out: Out, overrides: Overrides = None) -> None:
    """Render the embedded benchmark; `preset=scenes-8` (the default), `scenes-solo`, `scenes-30`, options over it."""
    from cavs_dist.config import parse_override, structure
    from cavs_dist.data.scenes import PRESETS, render_scenes

    options: dict[str, Any] = {}
    for text in overrides or ():
        options |= parse_override(text)
    preset = str(options.pop("preset", "scenes-8"))
    if preset not in PRESETS:
        raise InputError(f"preset={preset}: expected one of {', '.join(PRESETS)}")
    render_scenes(out, structure(PRESETS[preset], [(" ".join(overrides or ()), options)]))


@app.command("avsbench")
def avsbench(root: Path, out: Out, workers: Workers = CORES) -> None:
    """Turn the published AVSBench-semantic tree at ROOT into shards."""
    from cavs_dist.data.sources.avsbench import convert

    convert(root, out, workers=workers)


@app.command("folder")
def folder(root: Path, out: Out, workers: Workers = CORES) -> None:
    """Turn recordings of your own (labels.csv, KEY/frames, KEY/audio.wav, KEY/masks) into shards."""
    from cavs_dist.data.sources.folder import convert_folder

    convert_folder(root, out, workers=workers)


@app.command("music")
def music(
    root: Path,
    out: Out,
    lists: Annotated[Optional[Path], typer.Option(help="folder of train, val and test .csv or .txt; ROOT")] = None,  # noqa: UP045
    size: Annotated[int, typer.Option(help="short side of the frames, pixels")] = 224,
    fps: Annotated[float, typer.Option(help="of extracted pictures; the clips have 1 frame a second")] = 1.0,
    seconds: Annotated[int, typer.Option(help="how much of a longer video is kept")] = 120,
    workers: Workers = CORES,
) -> None:
    """Turn MUSIC-21 at ROOT (audio, frames, videos, features: each by CLASS/ID) into shards of solo videos."""
    from cavs_dist.data.sources.music import convert_music
    from cavs_dist.data.sources.solo import Cut

    convert_music(root, out, lists=lists, cut=Cut(size, fps, seconds), workers=workers)


@app.command("features")
def features(
    folder: Folder,
    out: Out,
    vision: Annotated[str, typer.Option(help="a timm model, or small")],
    weights: Annotated[str, typer.Option(help="timm, or a file")],
    size: Annotated[int, typer.Option(help="side of the frames, pixels")] = 224,
    seconds: Seconds = STANDARD_SECONDS,
    workers: Workers = CORES,
) -> None:
    """Copy shards with the features that a frozen network makes of frames: for `model.vision=features`."""
    from cavs_dist.data.decode import Limits
    from cavs_dist.features import Network, add_features

    add_features(folder, out, Network(vision, weights, size), Limits(max_seconds=seconds), workers)


@app.command("index")
def index(
    tars: Annotated[list[Path], typer.Argument(help="tars made elsewhere")],
    names: Annotated[Path, typer.Option(help="CSV with the columns id,name: what mask ids mean")],
) -> None:
    """Make the index of tars made elsewhere."""
    from cavs_dist.data.index import parse_names
    from cavs_dist.data.remote.catalogue import write_catalogue
    from cavs_dist.data.shard import index_shard, write_index
    from cavs_dist.data.sources.listing import read_rows

    known = parse_names({row["id"]: row["name"] for row in read_rows(names, "id", ("name",))})
    for tar in tars:
        made = index_shard(tar, known)
        typer.echo(f"{write_index(made)}: {len(made.clips)} clips")
    for folder in sorted({tar.parent for tar in tars}):
        write_catalogue(folder)


@app.command("catalogue")
def catalogue(folder: Folder) -> None:
    """List the indexes of shards in shards.json, by which a folder is read from a server."""
    from cavs_dist.data.remote.catalogue import write_catalogue

    typer.echo(write_catalogue(folder))


@app.command("check")
def check(folder: Place, reach: Reach = None, workers: Workers = CORES, seconds: Seconds = STANDARD_SECONDS) -> None:
    """Check counts, hashes, completeness and decodability; name every bad clip, and exit with 2 if there is one."""
    from cavs_dist.data.check import check as find_problems
    from cavs_dist.data.decode import Limits

    problems = find_problems(_locate(folder, reach), workers=workers, limits=Limits(max_seconds=seconds))
    for problem in problems:
        typer.echo(f"{problem.shard}: {problem.key or 'the shard'}: {problem.reason}")
    if problems:
        raise InputError(f"{folder} has {len(problems)} problems: make the shards named above anew")
    typer.echo(f"{folder}: every clip is whole")


@app.command("inspect")
def inspect(
    folder: Place,
    reach: Reach = None,
    sheet: Annotated[Optional[Path], typer.Option(help="contact sheet to write (PNG)")] = None,  # noqa: UP045
    split: Annotated[str, typer.Option(help="of the contact sheet")] = "train",
    seconds: Seconds = STANDARD_SECONDS,
) -> None:
    """Show classes, splits, co-occurrence and sizes; write a contact sheet."""
    from cavs_dist.data.decode import Limits
    from cavs_dist.data.inspect import inspect as summarise
    from cavs_dist.data.inspect import inspection_tables
    from cavs_dist.data.sheet import contact_sheet

    place = _locate(folder, reach)
    for table in inspection_tables(summarise(place)):
        console.print(table)
    picture = sheet or Path("contact-sheet.png")
    contact_sheet(place, split, picture, limits=Limits(max_seconds=seconds))
    typer.echo(picture)


@app.command("order")
def order(
    source: Annotated[str, typer.Argument(metavar="CONFIG|RUN", help="a config, or a run folder")],
    overrides: Annotated[Optional[list[str]], typer.Argument(help="stage=S and section.key=value ...")] = None,  # noqa: UP045
    ranks: Annotated[int, typer.Option(min=1, help="ranks to share the clips")] = 1,
    first: Annotated[int, typer.Option("--from", min=0, help="first update of the stage")] = 0,
    updates: Annotated[int, typer.Option(min=0, help="how many updates")] = 10,
) -> None:
    """Print which rank reads which clips in which update (TSV), from the index alone; of a run, its draws too."""
    from cavs_dist.order import order_of_config, order_of_run

    stage, rest = _stage(overrides or [])
    if (Path(source) / "config.yaml").is_file():
        if rest:
            raise InputError(f"{source} is a run, whose config stays as it is: leave out {' '.join(rest)}")
        lines = order_of_run(Path(source), stage, ranks, first, updates)
    else:
        lines = order_of_config(source, rest, stage, ranks, first, updates)
    for line in lines:
        typer.echo(line)


def _locate(folder: str, reach: list[str] | None) -> Any:
    """Return where a folder lies; of a server, by the rules given as `key=value` of the section data.remote."""
    from cavs_dist.config import parse_override, structure
    from cavs_dist.data.index import locate
    from cavs_dist.data.remote.config import RemoteConfig

    return locate(folder, structure(RemoteConfig(), [(text, parse_override(text)) for text in reach or ()]))


def _stage(overrides: list[str]) -> tuple[int, list[str]]:
    """Take `stage=S` out of the overrides; 0 without it."""
    found = [text.partition("=")[2] for text in overrides if text.startswith("stage=")]
    if found and not found[-1].isdigit():
        raise InputError(f"stage={found[-1]}: expected the number of a stage, from 0")
    return int(found[-1]) if found else 0, [text for text in overrides if not text.startswith("stage=")]
