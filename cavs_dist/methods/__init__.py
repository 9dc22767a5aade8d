"""The methods of each task by the name that a config calls them."""

from collections.abc import Mapping

from cavs_dist.methods.base import Method, MethodConfig, PlainLoss
from cavs_dist.methods.fine_tune import FineTune
from cavs_dist.methods.joint import Joint
from cavs_dist.methods.replay import Replay
from cavs_dist.methods.segmentation import Cmr, Lwf, Mib, Plop

__all__ = ["METHODS", "Method", "MethodConfig", "plain"]

ANY_TASK: Mapping[str, type[Method]] = {"fine_tune": FineTune, "joint": Joint, "replay": Replay}
METHODS: Mapping[str, Mapping[str, type[Method]]] = {
    "segmentation": {**ANY_TASK, "lwf": Lwf, "mib": Mib, "plop": Plop, "cmr": Cmr},
}


def plain(loss: PlainLoss) -> Method:
    """Return a task's own loss on the stage's clips: what the twin is trained by."""
    return FineTune(FineTune.Config(name="fine_tune"), loss)
