"""`python -m interop.bench`, and `python -m interop.bench crl`."""

import sys

from interop.bench import crl
from interop.bench.runner import main

sys.exit(crl.main() if sys.argv[1:] == ["crl"] else main())
