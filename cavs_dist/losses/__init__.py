"""Losses, one number a frame: methods weigh the frames and add them up."""
