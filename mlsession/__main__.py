"""`python -m mlsession`."""

from mlsession.cli.__main__ import main

main()
