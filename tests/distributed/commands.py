"""Main commands that `TF_CONFIG` makes workers of one cluster, told as JSON: exit codes and errors.

`python -m tests.distributed.commands '{"a name": [{"flags": [...], "file_bytes": 4000, "port_in_use": true}, null]}'`,
where a worker that is null is not started. One cluster comes after the other; workers are copies of this
process, which has loaded TensorFlow but made no tensor.
"""

import json
import multiprocessing
import os
import resource
import socket
import sys


def told_by(workers):
    """Exit code and errors of each worker of a cluster."""
    from pep_tf.distributed.cluster import local_cluster

    fork, held, started = multiprocessing.get_context("fork"), [], []
    configs = local_cluster(len(workers))
    hosts = json.loads(configs[0])["cluster"]["worker"]
    for config, host, own in zip(configs, hosts, workers, strict=True):
        if own is None:
            continue
        if own.get("port_in_use"):
            held.append(socket.create_server(("127.0.0.1", int(host.rpartition(":")[2]))))
        reading, writing = os.pipe()
        process = fork.Process(target=worker, args=(config, own, writing))
        process.start()
        os.close(writing)
        started.append((process, open(reading)))  # noqa: SIM115
    told = []
    for process, stderr in started:
        with stderr:
            errors = [line.strip() for line in stderr if line.startswith("error: ")]
        process.join()
        told.append([process.exitcode, errors])
    for other in held:
        other.close()
    return told


def worker(config, own, stderr):
    from pep_tf.experiments.main import main

    os.environ["TF_CONFIG"] = config
    os.dup2(stderr, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    most = own.get("file_bytes", resource.RLIM_INFINITY)  # as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    sys.exit(main(own["flags"]))


if __name__ == "__main__":
    from pep_tf.experiments import main as _  # noqa: F401

    clusters = json.loads(sys.argv[1])
    print(json.dumps({name: told_by(workers) for name, workers in clusters.items()}))
