"""What holds for every test: ours must not depend on how this run was started."""

import signal


def pytest_configure() -> None:
    """A background shell, and nohup, hand down ignored signals; the programs under test would inherit them."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)
    if signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
