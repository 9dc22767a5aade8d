import getpass
import platform
from pathlib import Path

from cavs_dist.dashboard.disclose import disclosed


def test_places_and_passwords_stay_here_and_the_rest_goes_as_it_is() -> None:
    home, user, host = Path.home(), getpass.getuser(), platform.node()
    config = {
        "seed": 3,
        "data": {"path": f"{home}/data/scenes", "order": ["bell", "cow"]},
        "start": f"../{user}/runs/cmr",
        "remote": "https://me:secret@example.org/shards/train?token=secret#part",
        "out": f"runs/{user}/{host}/one",
        "backbone": "timm/resnet50",
        "none": None,
    }
    assert disclosed(config) == {
        "seed": 3,
        "data": {"path": "scenes", "order": ["bell", "cow"]},
        "start": "cmr",
        "remote": "https://example.org/shards/train",
        "out": "runs/_/_/one",
        "backbone": "timm/resnet50",
        "none": None,
    }


def test_a_home_folder_has_no_name() -> None:
    assert disclosed({"out": f"/users/{getpass.getuser()}"}) == {"out": "_"}
