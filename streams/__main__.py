"""`python -m streams` is `streamscore`."""

from streams.cli import main

main()
