"""Safe checkpoint loading (placeholder body, replaced before the first release)."""


class UnsafeCheckpointError(RuntimeError):
    pass


def register_safe_globals() -> None:
    pass


def load_checkpoint_file(path, unsafe=False):
    raise NotImplementedError
