"""Continual audio-visual learning at scale: segmentation of what sounds, classes arriving in stages."""

__version__ = "0.1.0"
