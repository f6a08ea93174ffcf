"""The `heavylift` command, and `python -m heavylift`.

Tiny on purpose: the main module is run again in every process of the cpu lane, so it must cost nothing to import.
"""


def main() -> None:
    """Run the command line and exit with its code."""
    from heavylift.cli.app import run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
