"""`python -m cavs_dist`, which is what torchrun starts on every rank."""

from cavs_dist.cli import main

main()
