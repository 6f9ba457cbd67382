"""`python -m data_prep.avazu.prepare`, as `pep-tf prepare avazu`."""

import sys

from pep_tf.prepare.avazu import main

if __name__ == "__main__":
    sys.exit(main())
