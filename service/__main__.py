"""`python -m service` is `spikewatch`."""

from service.cli import main

main()
