"""Audio-visual attention (TPAVI), collapsed."""

from cavs_kernels.av_attention.op import av_attention, av_attention_block
from cavs_kernels.av_attention.reference import AttentionWeights, NormWeights, Statistics, batch_statistics

__all__ = ["AttentionWeights", "NormWeights", "Statistics", "av_attention", "av_attention_block", "batch_statistics"]
