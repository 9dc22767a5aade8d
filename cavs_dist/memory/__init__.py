"""The exemplar memory: which clips are kept, with which score, and how often each class is rehearsed."""
