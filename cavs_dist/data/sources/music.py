"""MUSIC-21 (Zhao et al., arXiv 1904.05979), as its users keep it, turned into shards: 20 classes, solo videos."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from cavs_dist.data.layout import refuse_extension
from cavs_dist.data.sources.manifest import Manifest, convert_recordings
from cavs_dist.data.sources.music_lists import Video, read_lists
from cavs_dist.data.sources.solo import SOUNDS, Cut, Solo, pack_solo
from cavs_dist.data.sources.video import refuse_without_pyav
from cavs_dist.errors import InputError

# In the order of "Continual Audio-Visual Sound Separation" (arXiv 2411.02860), four stages of five.
CLASSES = (
    *("accordion", "bagpipe", "bassoon", "clarinet", "drum"),
    *("flute", "piano", "saxophone", "tuba", "violin"),
    *("xylophone", "acoustic_guitar", "banjo", "cello", "electric_bass"),
    *("erhu", "guzheng", "pipa", "trumpet", "ukulele"),
)
NAMES = dict(enumerate(CLASSES, start=1))
NOT_IN_THE_PAPER = "congas"
VIDEOS = (".mp4", ".webm", ".mkv")


def convert_music(
    root: Path,
    out: Path,
    *,
    lists: Path | None = None,
    cut: Cut | None = None,
    workers: int = 1,
    clips_per_shard: int = 64,
) -> Manifest:
    """Turn the videos listed in the folder `lists` (ROOT by default) into shards of each split and `manifest.json`.

    The lists: see `read_lists`. ROOT/audio/<class>/<id>.wav (mp3, flac, ogg); ROOT/frames/<class>/<id>/*.jpg (or
    <id>.mp4/*.jpg), at `cut.fps`; what of these is not there is taken from ROOT/videos/<class>/<id>.mp4 (webm, mkv).
    ROOT/features/<name>/<class>/<id>.npy become members `feature.<name>.npy`; `object` has a row for each frame.
    Congas and duets are left out, in words; any other unknown class is an InputError, as is a wrong list. Missing or
    broken videos are left out and explained in the manifest.
    """
    cut = cut or Cut()
    splits = {split: _solos_only(split, videos) for split, videos in read_lists(lists or root).items()}
    features = _features(root / "features")
    recordings = {split: [_solo(root, video, features) for video in videos] for split, videos in splits.items()}
    if any(one.needs_decoding for solos in recordings.values() for one in solos):
        refuse_without_pyav()
    return convert_recordings(
        "MUSIC-21",
        {split: solos for split, solos in recordings.items() if solos},
        out,
        NAMES,
        partial(pack_solo, cut=cut),
        workers=workers,
        clips_per_shard=clips_per_shard,
        settings=str(cut),
    )


def _solos_only(split: str, videos: Sequence[Video]) -> list[Video]:
    """Leave out congas and duets, and say so; refuse what is no class of MUSIC-21."""
    other = [video for video in videos if video.name not in CLASSES]
    for video in other:
        if not set(re.split("[ +&]", video.name)) <= {*CLASSES, NOT_IN_THE_PAPER}:
            raise InputError(f"{video.where}: {video.name!r} is no class of MUSIC-21: expected {', '.join(CLASSES)}")
    if other:
        counts = ", ".join(f"{count} of {name}" for name, count in sorted(Counter(one.name for one in other).items()))
        print(f"MUSIC-21: {split} leaves out {counts}, which are not among the 20 classes of solo videos")
    return [video for video in videos if video.name in CLASSES]


def _solo(root: Path, video: Video, features: Sequence[str]) -> Solo:
    where = f"{video.name}/{video.key}"
    source = _first(root / "videos" / f"{where}{suffix}" for suffix in VIDEOS)
    arrays = {name: root / "features" / name / f"{where}.npy" for name in features}
    return Solo(
        key=video.key,
        classes=(video.name,),
        sound=_first(root / "audio" / f"{where}{suffix}" for suffix in SOUNDS) or source,
        frames=_first(root / "frames" / f"{where}{suffix}" for suffix in ("", *VIDEOS)) or source,
        features={name: path for name, path in arrays.items() if path.exists()},
    )


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def _features(folder: Path) -> list[str]:
    """Return the names of the features in `folder`; InputError for one that cannot name a member of a shard."""
    names = sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())
    for name in names:
        refuse_extension(f"feature.{name}.npy")
    return names
