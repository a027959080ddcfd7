"""`python -m training` is `lqz`, even if another package has overwritten that command."""

import sys

from training.cli import main

if __name__ == "__main__":
    sys.exit(main())
