"""The command line as `python -m autollm`, for where its script is not on the path."""

from autollm.cli import main

main(prog_name="autollm")
