"""Shards on a server: read by ranges, kept in a cache on the node's own disk."""
