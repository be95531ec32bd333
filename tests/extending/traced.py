"""An engine of a user's own: TorchScript's traced network."""

from bench.engines import Engine, register


def prepare(network, images, setting):
    import torch

    return torch.jit.trace(network, images)


def unavailable(device, precision):
    return None if precision == "fp32" else f"traced networks run in fp32 here, not in {precision}"


register(Engine("traced", "TorchScript", prepare, compiles=True, unavailable=unavailable))
