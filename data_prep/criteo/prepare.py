"""`python -m data_prep.criteo.prepare`, as `pep-tf prepare criteo`."""

import sys

from pep_tf.prepare.criteo import main

if __name__ == "__main__":
    sys.exit(main())
