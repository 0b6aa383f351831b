"""``python -m tinkit``: the command line, where no script is installed."""

from tinkit.cli.app import main

main()
