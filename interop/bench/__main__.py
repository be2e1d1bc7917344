"""`python -m interop.bench`."""

import sys

from interop.bench.runner import main

sys.exit(main())
