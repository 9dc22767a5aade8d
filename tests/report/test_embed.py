import base64
import io

import numpy as np
import soundfile
from PIL import Image

from cavs_dist.report.embed import picture, sound


def test_a_picture_comes_back_from_its_address() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    kind, _, data = picture(Image.fromarray(pixels), "PNG").partition(";base64,")
    assert kind == "data:image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), pixels)
    assert picture(Image.fromarray(pixels), "JPEG").startswith("data:image/jpeg;")


def test_a_sound_comes_back_to_16_bits() -> None:
    samples = np.sin(np.arange(5000) / 9).astype(np.float32)
    kind, _, data = sound(samples, 11025).partition(";base64,")
    found, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert (kind, rate) == ("data:audio/flac", 11025)
    assert np.abs(found * 32768 / 32000 - samples).max() < 1 / 32000
