"""Runs as SLURM jobs: what is asked of a cluster, how it is told, and what a run folder keeps of its jobs."""
