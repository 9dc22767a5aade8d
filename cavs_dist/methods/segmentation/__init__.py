"""Methods whose formulas are about the classes of pixels."""

from cavs_dist.methods.segmentation.cmr import Cmr
from cavs_dist.methods.segmentation.lwf import Lwf
from cavs_dist.methods.segmentation.mib import Mib
from cavs_dist.methods.segmentation.plop import Plop

__all__ = ["Cmr", "Lwf", "Mib", "Plop"]
