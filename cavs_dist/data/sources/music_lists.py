"""The lists of MUSIC-21's users: which videos are in which split, and which instrument each one shows."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cavs_dist.data.layout import field, refuse_key
from cavs_dist.data.sources.listing import SPLITS
from cavs_dist.errors import InputError

VIDEOS = "MUSIC21_solo_videos.json"
SUFFIXES = (".csv", ".txt")
FORMATS = f"class,id or class/id or audio_path,frames_path,count, or an id that {VIDEOS} knows"


@dataclass(frozen=True)
class Video:
    """A row of a list. name: of its class, as it is written there. where: the list and line."""

    key: str
    name: str
    where: str


def read_lists(folder: Path) -> dict[str, list[Video]]:
    """Read those of the lists train, val and test (csv or txt, UTF-8) that are in `folder`.

    A row is a video: `class,id`, `class/id`, `audio_path,frames_path,count` (as Sound of Pixels writes it; class and id
    are the last two parts of the first path), or an id alone, whose class is then in MUSIC21_solo_videos.json
    (`{"videos": {"accordion": ["id", ...]}}`) beside the lists. A first row `class,id` is a heading.
    InputError without any list, and for a row that is not so or an id that comes twice.
    """
    files = {split: [folder / (split + suffix) for suffix in SUFFIXES] for split in SPLITS}
    found = {split: [path for path in paths if path.is_file()] for split, paths in files.items()}
    twice = [paths for paths in found.values() if len(paths) > 1]
    if twice:
        raise InputError(f"there are {twice[0][0]} and {twice[0][1].name}: keep one")
    if not any(found.values()):
        raise InputError(f"there is no train.csv, val.csv or test.csv (or .txt) in {folder}: a row is {FORMATS}")
    known = _classes_by_id(folder / VIDEOS)
    lists = {split: _read(path, known) for split, paths in found.items() for path in paths}
    _refuse_twice([video for videos in lists.values() for video in videos])
    return lists


def _read(path: Path, known: Mapping[str, str]) -> list[Video]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [value.strip() for value in row]) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV in UTF-8: {error}") from None
    if rows and rows[0][1] == ["class", "id"]:
        rows = rows[1:]
    if not rows:
        raise InputError(f"{path} lists no video: a row is {FORMATS}")
    return [_video(row, known, f"{path} line {number}") for number, row in rows]


def _video(row: Sequence[str], known: Mapping[str, str], where: str) -> Video:
    path = PurePosixPath(row[0])
    if len(row) == 2:
        name, key = row
    elif len(row) in (1, 3) and path.parent.name:
        name, key = path.parent.name, path.stem
    elif len(row) == 1 and row[0] in known:
        name, key = known[row[0]], row[0]
    else:
        raise InputError(f"{where} is {','.join(row)[:80]!r}, expected {FORMATS}")
    try:
        refuse_key(key)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return Video(key, name, where)


def _classes_by_id(path: Path) -> dict[str, str]:
    """Read {id: class} from the published JSON; nothing if it is not there."""
    if not path.exists():
        return {}
    try:
        videos = field(json.loads(path.read_bytes()), "videos", dict)
        return {key: name for name in videos for key in field(videos, name, list)}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f'{path} cannot be read as {{"videos": {{class: [id, ...]}}}}: {error}') from None


def _refuse_twice(videos: Sequence[Video]) -> None:
    seen: dict[str, str] = {}
    for video in videos:
        if video.key in seen:
            raise InputError(f"{video.where}: {video.key} is listed before, at {seen[video.key]}: list each video once")
        seen[video.key] = video.where
