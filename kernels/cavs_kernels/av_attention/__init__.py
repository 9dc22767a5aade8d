"""Audio-visual attention (TPAVI), collapsed."""

from cavs_kernels.av_attention.op import av_attention
from cavs_kernels.av_attention.reference import AttentionWeights

__all__ = ["AttentionWeights", "av_attention"]
