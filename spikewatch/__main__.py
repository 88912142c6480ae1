"""`python -m spikewatch` runs the command line."""

from spikewatch.service.cli import main

main()
