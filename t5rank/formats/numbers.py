"""Numbers as text, for the log and for tables."""


def shown(value: float) -> str:
    """A number with four decimals, or with three significant digits if it is smaller.

    >>> [shown(value) for value in (0.0, 0.5, 12.34567, 0.00025, -1e-5)]
    ['0.0000', '0.5000', '12.3457', '0.000250', '-1.00e-05']
    """
    return f"{value:#.3g}" if 0 < abs(value) < 0.1 else f"{value:.4f}"


def interval(limits: tuple[float, float], sign: str = "") -> str:
    """An interval with four decimals.

    >>> interval((0.25, 0.5)), interval((-0.25, 0.5), sign="+")
    ('[0.2500, 0.5000]', '[-0.2500, +0.5000]')
    """
    return "[" + ", ".join(f"{limit:{sign}.4f}" for limit in limits) + "]"


def p_value(value: float) -> str:
    """A p-value with four decimals.

    >>> p_value(0.25), p_value(1e-9)
    ('0.2500', '<0.0001')
    """
    return "<0.0001" if value < 1e-4 else f"{value:.4f}"
