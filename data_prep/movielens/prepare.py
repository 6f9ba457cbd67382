"""`python -m data_prep.movielens.prepare`, as `pep-tf prepare movielens`."""

import sys

from pep_tf.prepare.movielens import main

if __name__ == "__main__":
    sys.exit(main())
