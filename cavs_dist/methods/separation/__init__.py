"""Methods whose formulas are about masks of sources."""

from cavs_dist.methods.separation.av_cil import AvCil
from cavs_dist.methods.separation.contavsep import ContAVSep
from cavs_dist.methods.separation.lwf import Lwf
from cavs_dist.methods.separation.plop import Plop

__all__ = ["AvCil", "ContAVSep", "Lwf", "Plop"]
