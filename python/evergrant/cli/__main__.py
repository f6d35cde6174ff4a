"""`python -m evergrant.cli`."""

from evergrant.cli import main

main()
