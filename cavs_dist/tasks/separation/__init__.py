"""Continual audio-visual sound separation: take a mixture apart into what each visible object sounds like."""

from cavs_dist.tasks.separation.task import Separation

__all__ = ["Separation"]
