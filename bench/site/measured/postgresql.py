"""A PostgreSQL for the bench, from the generated project's devdb.py: until standard input ends."""

import json
import sys
from pathlib import Path

import devdb


def main() -> None:
    directory, max_connections = sys.argv[1:]
    cluster = devdb.Cluster(Path(directory), throw_away=True)
    cluster.max_connections = int(max_connections)
    cluster.start()
    try:
        said = {"url": cluster.url, "account": cluster.account, "pid": cluster.process.pid}
        print(json.dumps({**said, "binaries": str(cluster.binaries)}), flush=True)
        sys.stdin.read()
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
