"""`python -m training` is `lqz`, also where another package has taken that name."""

import sys

from training.cli import main

if __name__ == "__main__":
    sys.exit(main())
