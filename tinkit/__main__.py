"""``python -m tinkit``: the command line, where no script is installed."""

from tinkit.cli.app import main

if __name__ == "__main__":  # processes that are spawned import this module again
    main()
