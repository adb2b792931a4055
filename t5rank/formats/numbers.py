"""Numbers as people read them in the log and in tables."""


def shown(value: float) -> str:
    """A number with four decimals, or with three digits where that says more.

    >>> [shown(value) for value in (0.0, 0.5, 12.34567, 0.00025, -1e-5)]
    ['0.0000', '0.5000', '12.3457', '0.000250', '-1.00e-05']
    """
    return f"{value:#.3g}" if 0 < abs(value) < 0.1 else f"{value:.4f}"
