"""`python -m drafts`."""

import sys

from drafts.tools.command import main

sys.exit(main())
