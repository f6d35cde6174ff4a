"""`python -m evergrant.cli`."""

from evergrant.cli import main

if __name__ == "__main__":
    main()
