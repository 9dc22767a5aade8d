import pickle

import numpy as np

from cavs_dist.dashboard.messages import Media, Picture, Sound


def test_media_know_how_much_they_hold_and_can_be_sent() -> None:
    label = np.ones((4, 4), np.uint8)
    picture = Picture("a clip", np.zeros((4, 4, 3), np.uint8), {"truth": label, "prediction": label})
    media = Media(3, "both", [picture, Sound("a bell", np.zeros(10, np.float32), 8000)])
    assert media.size == 48 + 16 + 16 + 40
    assert pickle.loads(pickle.dumps(media)).items[1].caption == "a bell"
