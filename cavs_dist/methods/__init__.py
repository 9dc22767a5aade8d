"""The methods of each task by the name that a config calls them."""

from collections.abc import Mapping

from cavs_dist.methods import segmentation, separation
from cavs_dist.methods.base import Method, MethodConfig, PlainLoss
from cavs_dist.methods.ewc import Ewc
from cavs_dist.methods.ewf import Ewf
from cavs_dist.methods.fine_tune import FineTune
from cavs_dist.methods.joint import Joint
from cavs_dist.methods.replay import Replay

__all__ = ["METHODS", "Method", "MethodConfig", "plain"]

ANY_TASK: Mapping[str, type[Method]] = {
    "fine_tune": FineTune,
    "joint": Joint,
    "replay": Replay,
    "ewc": Ewc,
    "ewf": Ewf,
}
METHODS: Mapping[str, Mapping[str, type[Method]]] = {
    "segmentation": {
        **ANY_TASK,
        "lwf": segmentation.Lwf,
        "mib": segmentation.Mib,
        "plop": segmentation.Plop,
        "cmr": segmentation.Cmr,
    },
    "separation": {
        **ANY_TASK,
        "lwf": separation.Lwf,
        "plop": separation.Plop,
        "av_cil": separation.AvCil,
        "contavsep": separation.ContAVSep,
    },
}


def plain(loss: PlainLoss) -> Method:
    """Return a task's own loss on the stage's clips: what the twin is trained by."""
    return FineTune(FineTune.Config(name="fine_tune"), loss)
