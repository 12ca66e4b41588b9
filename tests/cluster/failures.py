"""What happens to the primary of a cluster, and how it comes back."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.cluster.cluster import Cluster, Node


@dataclass(frozen=True)
class Failure:
    """What is done to the primary, and what mends it where the cluster does not do so itself."""

    name: str
    begin: Callable[[Cluster, Node], None]
    mend: Callable[[Node], None] = lambda _: None


FAILURES = {
    failure.name: failure
    for failure in (
        Failure("machine killed", lambda _, node: node.kill(), Node.start),
        Failure("postgres killed", lambda _, node: node.kill_postgres()),
        Failure("cut off", lambda _, node: node.pull_out(), Node.plug_in),
        Failure("disk frozen", lambda _, node: node.freeze(), Node.thaw),
        Failure("switchover", lambda cluster, _: cluster.switch_over()),
    )
}
