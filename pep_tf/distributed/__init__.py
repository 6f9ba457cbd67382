"""Several processes that train one model: who they are, and what they send each other."""

from pep_tf.distributed.group import Group as Group
from pep_tf.distributed.group import agreed as agreed
from pep_tf.distributed.group import alone as alone
from pep_tf.distributed.group import current as current
from pep_tf.distributed.group import is_leader as is_leader
from pep_tf.distributed.group import wait as wait
from pep_tf.distributed.group import whole_tables as whole_tables
from pep_tf.distributed.join import joined as joined
