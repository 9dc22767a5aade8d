"""Metrics from counts: sums over frames, so that any split over ranks and batches gives the same."""
