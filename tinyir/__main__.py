"""`python -m tinyir` is `tinyir`."""

import sys

from tinyir.cli import main

sys.exit(main())
