"""`python -m cosign` is the `cosign` command."""

import sys

from ._cli import main

sys.exit(main())
