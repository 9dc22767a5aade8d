"""Where tasks and methods meet: what goes into a model and what comes out of it, a file for each task."""

from cavs_dist.outputs.batch import Batch

__all__ = ["Batch"]
