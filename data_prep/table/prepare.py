"""`python -m data_prep.table.prepare`, as `pep-tf prepare table`."""

import sys

from pep_tf.prepare.table import main

if __name__ == "__main__":
    sys.exit(main())
