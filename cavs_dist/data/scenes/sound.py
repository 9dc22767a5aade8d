"""Sources: one class's waveform over a clip, from a recording of the bank, and the rule of when it is heard."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavs_dist.data.scenes.items import RATE, sound

Waveform = NDArray[np.float32]

AUDIBLE = 0.005  # RMS over a second, full scale 1: about -46 dB
PEAK = 0.95
FADE = RATE // 100
PAUSE = RATE // 8


@dataclass(frozen=True)
class Cue:
    """When and how a source plays.

    files: cuts of one recording, played one after the other and again from the first. offset: seconds of them skipped
    at the beginning. speed: of playback, which moves the pitch too. level: RMS while playing, dB of full scale.
    start, stop: seconds of the clip.
    """

    files: tuple[str, ...]
    offset: float
    speed: float
    level: float
    start: float
    stop: float


def source(cue: Cue, samples: int) -> Waveform:
    """Make a source's waveform: [samples] at RATE, silent outside its cue."""
    start, stop = (min(round(seconds * RATE), samples) for seconds in (cue.start, cue.stop))
    skipped = round(cue.offset * RATE)
    played = stop - start
    tape = _chain(cue.files, skipped + int(played * cue.speed) + 2)[skipped:]
    heard = np.interp(np.arange(played) * cue.speed, np.arange(len(tape)), tape)
    heard *= 10 ** (cue.level / 20) / np.sqrt(np.mean(heard**2))
    waveform = np.zeros(samples, np.float32)
    waveform[start:stop] = heard * _envelope(played)
    return waveform


def mix(sources: Mapping[str, Waveform]) -> tuple[Waveform, dict[str, Waveform]]:
    """Add sources up: the mixture and the sources, all scaled by one factor so that none of them clips."""
    mixture: Waveform = np.sum(list(sources.values()), axis=0, dtype=np.float32)
    loudest = max(float(np.abs(waveform).max()) for waveform in (mixture, *sources.values()))
    factor = np.float32(min(1.0, PEAK / loudest))
    mixture *= factor
    return mixture, {name: waveform * factor for name, waveform in sources.items()}


def heard_in(waveform: Waveform, frames: int) -> NDArray[np.bool_]:
    """Tell in which of `frames` evenly spaced frames a source is heard: [frames].

    A frame's second begins where its share of the clip begins, at the latest one second before the clip's end.
    A source is heard when its RMS over that second, as stored, is at least AUDIBLE.
    """
    shares = np.round(np.arange(frames) * len(waveform) / frames).astype(int)
    starts = np.minimum(shares, len(waveform) - RATE)
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    loudness: NDArray[np.float64] = np.sqrt((energy[starts + RATE] - energy[starts]) / RATE)
    return loudness >= AUDIBLE


def _chain(files: tuple[str, ...], samples: int) -> Waveform:
    """Join the files' sounds, each faded in and out, with short pauses, to at least `samples`."""
    pieces: list[Waveform] = []
    length = 0
    while length < samples:
        piece = sound(files[len(pieces) // 2 % len(files)])
        pieces += [piece * _envelope(len(piece)), np.zeros(PAUSE, np.float32)]
        length += len(piece) + PAUSE
    return np.concatenate(pieces)


def _envelope(samples: int) -> Waveform:
    """Rise from 0 to 1 and fall again, in FADE samples each."""
    ramp = np.minimum(np.arange(1, samples + 1, dtype=np.float32) / FADE, 1)
    return ramp * ramp[::-1]
