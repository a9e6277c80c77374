"""``python -m edgekit``: the command line without its script on the path."""

from edgekit.cli import main

if __name__ == "__main__":
    main(prog_name="edgekit")
