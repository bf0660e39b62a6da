"""`python -m surtitle`."""

from surtitle.cli import main

main()
