"""`python -m spikewatch` runs the command line."""

from spikewatch.service.cli.main import main

main()
