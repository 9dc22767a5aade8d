"""The tasks, by name."""

from collections.abc import Mapping

from cavs_dist.tasks.base import Task
from cavs_dist.tasks.segmentation import Segmentation
from cavs_dist.tasks.separation import Separation

TASKS: Mapping[str, type[Task]] = {"segmentation": Segmentation, "separation": Separation}
