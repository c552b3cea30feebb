"""How many cores this process may keep busy."""


def usable_cores() -> int:
    """Counts the cores that affinity, a container's CPU quota and LOKY_MAX_CPU_COUNT leave.

    A pod that is limited to two CPUs sees every core of its node. That many threads use up the
    quota in an instant and then stand still together, each waiting for the slowest.
    """
    # Here, for an import of wherry is to cost nothing.
    from joblib import cpu_count

    return int(cpu_count())
