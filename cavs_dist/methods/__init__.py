"""The methods by the name that a config calls them."""

from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.methods.cmr import Cmr
from cavs_dist.methods.fine_tune import FineTune
from cavs_dist.methods.joint import Joint
from cavs_dist.methods.lwf import Lwf
from cavs_dist.methods.mib import Mib
from cavs_dist.methods.plop import Plop
from cavs_dist.methods.replay import Replay

__all__ = ["METHODS", "Method", "MethodConfig", "plain"]

METHODS: dict[str, type[Method]] = {
    "fine_tune": FineTune,
    "joint": Joint,
    "replay": Replay,
    "lwf": Lwf,
    "mib": Mib,
    "plop": Plop,
    "cmr": Cmr,
}


def plain() -> Method:
    """Return plain cross-entropy on the stage's clips: what the twin is trained by."""
    return FineTune(FineTune.Config(name="fine_tune"))
