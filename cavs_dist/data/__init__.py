"""Clips: how they lie in shards, how they are read in order, how they become batches."""
