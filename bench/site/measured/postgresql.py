"""A PostgreSQL for the bench, from the generated project's devdb: until standard input ends."""

import json
import sys
from pathlib import Path

from devdb import Cluster


def main() -> None:
    directory, max_connections = sys.argv[1:]
    cluster = Cluster(Path(directory), throw_away=True, max_connections=int(max_connections))
    with cluster:
        said = {"url": cluster.url, "account": cluster.account, "pid": cluster.pid}
        print(json.dumps({**said, "binaries": str(cluster.binaries)}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
