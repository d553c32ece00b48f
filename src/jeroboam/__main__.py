"""`python -m jeroboam` is `jeroboam`."""

from jeroboam.cli import main

if __name__ == "__main__":
    main()
