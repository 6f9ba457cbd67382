"""`python -m pep_tf COMMAND ...` is `pep-tf COMMAND ...`."""

import sys

from pep_tf.cli import main

if __name__ == "__main__":
    sys.exit(main())
