"""Public and personal data layouts, turned into shards: one module a layout, the rest is what they share."""
