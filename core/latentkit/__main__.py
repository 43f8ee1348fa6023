"""``python -m latentkit`` does what the command ``latentkit`` does. The one file of the core that names it."""

import sys

from latentkit_cli import main

if __name__ == "__main__":
    sys.exit(main())
