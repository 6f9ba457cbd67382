"""Main commands that `TF_CONFIG` makes workers of one cluster, told as JSON: exit codes and errors.

`python -m tests.distributed.commands '[{"flags": [...], "file_bytes": 4000, "port_in_use": true}, null]'`,
where a worker that is null is not started.
"""

import functools
import json
import os
import resource
import socket
import subprocess
import sys


def main(workers):
    from pep_tf.distributed.cluster import local_cluster

    configs, held, processes = local_cluster(len(workers)), [], []
    hosts = json.loads(configs[0])["cluster"]["worker"]
    for config, host, own in zip(configs, hosts, workers, strict=True):
        if own is None:
            continue
        if own.get("port_in_use"):
            held.append(socket.create_server(("127.0.0.1", int(host.rpartition(":")[2]))))

        most = own.get("file_bytes", resource.RLIM_INFINITY)  # as on a full disk
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "pep_tf.experiments.main", *own["flags"]],
                env={**os.environ, "TF_CONFIG": config},
                preexec_fn=functools.partial(
                    resource.setrlimit, resource.RLIMIT_FSIZE, (most, most)
                ),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    told = [process.communicate()[1].splitlines() for process in processes]
    errors = [[line for line in lines if line.startswith("error: ")] for lines in told]
    print(json.dumps([[p.returncode, own] for p, own in zip(processes, errors, strict=True)]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
