"""`python -m crisp` is `crisp`."""

from crisp.cli import main

main()
