import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from cavs_dist.data.clip import Clip, Encoded
from cavs_dist.data.decode import (
    Limits,
    decode_array,
    decode_audio,
    decode_clip,
    decode_mask,
    encode_clip,
    load_clip,
    load_features,
    load_source,
)
from cavs_dist.data.shard import BytesReader, ClipEntry, CorruptClip, Member, ShardReader, read_split
from cavs_dist.errors import InputError

LIMITS = Limits()


def png(image: Image.Image, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def announcing(width: int, height: int) -> bytes:
    """A PNG whose header announces a size that its pixels do not have."""
    data = png(Image.new("L", (1, 1)))
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def decoded(clip: Encoded, limits: Limits = LIMITS, **members: bytes) -> Clip:
    changed = {name.replace("_", "."): data for name, data in members.items()}
    return decode_clip(clip.key, clip.meta, {**clip.members, **changed}, limits)


def test_png_and_flac_give_back_what_went_in(make_clip: Callable[[int], Clip]) -> None:
    clip = make_clip(1)
    back = decoded(encode_clip(clip, frame_format="png"))
    for name in ("frames", "masks", "annotated", "silent"):
        np.testing.assert_array_equal(getattr(back, name), getattr(clip, name), err_msg=name)
    np.testing.assert_allclose(back.waveform, clip.waveform, atol=1 / 32768)
    np.testing.assert_allclose(back.sources["dog"], clip.sources["dog"], atol=1 / 32768)
    assert (back.key, back.rate, back.classes, back.objects) == (clip.key, 8000, ("dog", "guitar"), ("guitar", "dog"))
    assert back.waveform.dtype == np.float32


@pytest.mark.parametrize("frame_format", ["jpg", "webp"])
def test_lossy_frames_are_near(make_clip: Callable[[int], Clip], frame_format: str) -> None:
    smooth = np.broadcast_to(np.arange(0, 240, 15, dtype=np.uint8)[:, None], (3, 12, 16, 3))
    back = decoded(encode_clip(replace(make_clip(0), frames=smooth), frame_format=frame_format))  # type: ignore[arg-type]
    assert np.abs(back.frames.astype(int) - smooth).max() < 12


def test_loud_sound_is_clipped_not_wrapped(make_clip: Callable[[int], Clip]) -> None:
    loud = np.linspace(-2, 2, 999, dtype=np.float32)
    back = decoded(encode_clip(replace(make_clip(0), waveform=loud)))
    np.testing.assert_allclose(back.waveform, loud.clip(-1, 1), atol=1 / 32767)


def test_only_the_chosen_frames_are_read_and_decoded(data_set: Path) -> None:
    entry = read_split(data_set, "train")[0].clips[1]
    reader = ShardReader()
    whole, part = load_clip(reader, entry, LIMITS, extras=True), load_clip(reader, entry, LIMITS, [2, 0])
    reader.close()
    np.testing.assert_array_equal(part.frames, whole.frames[[2, 0]])
    np.testing.assert_array_equal(part.masks, whole.masks[[2, 0]])
    assert (part.masks[0] == 255).all()
    assert part.annotated.tolist() == [False, True]
    assert part.silent is None and not part.sources
    assert whole.silent is not None and whole.sources.keys() == {"dog"}


def test_a_source_is_heard_alone_and_seen_in_the_chosen_frames(data_set: Path) -> None:
    entry, reader = read_split(data_set, "train")[0].clips[1], ShardReader()
    whole = load_clip(reader, entry, LIMITS, extras=True)
    frames, dog = load_source(reader, entry, LIMITS, [2, 0, 2], "dog")
    np.testing.assert_array_equal(frames, whole.frames[[2, 0, 2]])
    np.testing.assert_array_equal(dog, whole.sources["dog"])
    nothing, guitar = load_source(reader, entry, LIMITS, [], "guitar")
    assert nothing.shape == (0, 12, 16, 3) and nothing.dtype == np.uint8
    np.testing.assert_array_equal(guitar, whole.waveform)
    reader.close()


def in_memory(members: dict[str, bytes], clip: Encoded) -> tuple[BytesReader, ClipEntry]:
    """A clip with true checksums of whatever its members are."""
    starts = np.cumsum([0, *map(len, members.values())]).tolist()
    places = {
        name: Member(start, len(data), zlib.crc32(data))
        for start, (name, data) in zip(starts, members.items(), strict=False)
    }
    return BytesReader(b"".join(members.values())), ClipEntry(clip.key, Path("far.tar"), clip.meta, places)


def test_a_source_reads_what_it_needs_alone_and_says_what_is_wrong(make_clip: Callable[[int], Clip]) -> None:
    clip = encode_clip(make_clip(1), frame_format="png")
    few = {name: clip.members[name] for name in ("frame.1.png", "source.dog.flac")}
    frames, _ = load_source(*in_memory(few, clip), LIMITS, [1], "dog")
    np.testing.assert_array_equal(frames[0], make_clip(1).frames[1])
    wrong = {**clip.members, "source.dog.flac": b"noise", "frame.1.png": png(Image.new("RGB", (17, 12)))}
    del wrong["frame.2.png"]
    reader, entry = in_memory(wrong, clip)
    for chosen, name, limits, message in (
        ([0], "dog", LIMITS, "has a bad source.dog"),
        ([1], "guitar", LIMITS, "has a bad frame.1: .*12 x 17"),
        ([0, 2], "guitar", LIMITS, "is incomplete: no frame.2"),
        ([0], "guitar", Limits(max_seconds=0.4), "has a bad audio: .*at most 0.4 s"),
        ([0, 0], "guitar", Limits(max_pixels=383), r"has 2 frames of \(12, 16\), at most 383 pixels are read"),
    ):
        with pytest.raises(CorruptClip, match=f"far.tar: clip 'clip-1' {message}"):
            load_source(reader, entry, limits, chosen, name)


def test_features_are_arrays_by_name(make_clip: Callable[[int], Clip]) -> None:
    clip, file = encode_clip(make_clip(0)), io.BytesIO()
    np.save(file, np.arange(6.0).reshape(2, 3))
    stored = {**clip.members, "feature.object.npy": file.getvalue()}
    found = load_features(*in_memory(stored, clip))
    assert found.keys() == {"object"} and load_features(*in_memory(dict(clip.members), clip)) == {}
    np.testing.assert_array_equal(found["object"], np.arange(6.0).reshape(2, 3))
    with pytest.raises(CorruptClip, match=r"far\.tar: clip 'clip-0' has a bad feature\.object"):
        load_features(*in_memory({**stored, "feature.object.npy": b"noise"}, clip))


def test_limits_are_checked_before_decoding(make_clip: Callable[[int], Clip]) -> None:
    clip = encode_clip(make_clip(0))
    for limits in (Limits(max_pixels=3 * 12 * 16 - 1), Limits(max_seconds=0.49)):
        with pytest.raises(CorruptClip, match=r"clip-0.*at most"):
            decoded(clip, limits)
    for side in (9_000, 30_000):
        with pytest.raises(CorruptClip, match=r"bad mask.0: .*(9000 x 9000|decompression bomb)"):
            decoded(clip, mask_0_png=announcing(side, side))
    with pytest.raises(CorruptClip, match="12 x 17"):
        decoded(clip, frame_0_jpg=png(Image.new("RGB", (17, 12))))


def test_channels_are_averaged_up_to_the_limit() -> None:
    stereo = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
    file = io.BytesIO()
    soundfile.write(file, stereo, 8000, format="WAV", subtype="FLOAT")
    np.testing.assert_allclose(decode_audio(file.getvalue(), 8000, LIMITS), np.full(100, 0.125))
    with pytest.raises(InputError, match="2 channels"):
        decode_audio(file.getvalue(), 8000, Limits(max_channels=1))
    with pytest.raises(InputError, match="8000 Hz, expected 16000"):
        decode_audio(file.getvalue(), 16000, LIMITS)


def test_masks_are_indices() -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = Image.fromarray(ids)
    palette.putpalette([200] * 768)
    for image, options in ((Image.fromarray(ids), {}), (palette, {}), (palette, {"bits": 4})):
        np.testing.assert_array_equal(decode_mask(png(image, **options), (3, 4)), ids)
    for image in (Image.new("RGB", (4, 3)), Image.new("1", (4, 3)), Image.new("I;16", (4, 3)), Image.new("LA", (4, 3))):
        with pytest.raises(InputError, match="expected 8-bit single channel"):
            decode_mask(png(image), (3, 4))


def test_damaged_bytes_are_a_corrupt_clip(make_clip: Callable[[int], Clip]) -> None:
    clip = encode_clip(make_clip(0), frame_format="png")
    rng = np.random.default_rng(0)
    for name, data in clip.members.items():
        for damaged in (b"", data[: len(data) // 2], rng.bytes(64)):
            with pytest.raises(CorruptClip, match="clip-0"):
                decode_clip(clip.key, clip.meta, {**clip.members, name: damaged}, LIMITS)
    gif = io.BytesIO()
    Image.new("RGB", (16, 12)).save(gif, "GIF")
    with pytest.raises(CorruptClip, match="it is no JPEG or PNG or WEBP image"):
        decoded(clip, frame_0_png=gif.getvalue())
    with pytest.raises(CorruptClip, match=r"no frame\.7"):
        decode_clip(clip.key, clip.meta, clip.members, LIMITS, [7])


def test_arrays_are_plain_numbers() -> None:
    for array in (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3))):
        file = io.BytesIO()
        np.save(file, array)
        np.testing.assert_array_equal(decode_array(file.getvalue()), array)
    for lie in (b"(99999999999, 3)", b"(-1, -6)"):
        data = file.getvalue().replace(b"(2, 3), }" + b" " * (len(lie) - 6), lie + b", }")
        assert lie in data
        with pytest.raises(InputError, match="expected numbers that fill the file"):
            decode_array(data)
    for array in (np.array([{}], dtype=object), np.zeros(2, [("a", "f4")]), np.array(["text"])):
        file = io.BytesIO()
        np.save(file, array)
        with pytest.raises(InputError, match="expected numbers"):
            decode_array(file.getvalue())
