"""Losses of segmentation from features and classifiers: logits of a whole frame are never in memory."""

from cavs_kernels.segmentation_loss.op import segmentation_terms
from cavs_kernels.segmentation_loss.reference import Terms

__all__ = ["Terms", "segmentation_terms"]
