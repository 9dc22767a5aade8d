"""Weights & Biases in a process of its own: whatever it does, raises or waits for, training goes on.

`sender` is the side of training, `process` the other; `messages` is what passes between them.
"""
