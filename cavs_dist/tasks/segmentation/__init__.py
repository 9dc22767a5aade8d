"""Continual audio-visual segmentation: mark the pixels of what sounds."""

from cavs_dist.tasks.segmentation.task import Segmentation

__all__ = ["Segmentation"]
