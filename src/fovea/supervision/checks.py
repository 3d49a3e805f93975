"""What a mode returns, checked: a wrong shape or range would give wrong scores, or an error far from its cause."""

from collections.abc import Mapping, Sequence

from torch import Tensor

_TOLERANCE = 1e-3  # of probabilities outside [0, 1], which half precision explains


def check_losses(mode: str, terms: object) -> None:
    """Refuse what `losses` of a mode of this name must not return; see `fovea.supervision.mode.Mode.losses`."""
    returns = f"supervision: {mode}.losses"
    if not isinstance(terms, Mapping):
        raise ValueError(f'{returns} returns {_described(terms)}; return a mapping, {{"loss": …}}')
    if "loss" not in terms:
        raise ValueError(f"{returns} has no loss, only {[*terms]}")
    for name, value in terms.items():
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ValueError(f"{returns} returns as {name} {_described(value)}; return a tensor of one number")
    if not terms["loss"].requires_grad:
        raise ValueError(f"{returns} returns a loss without a gradient: it is detached, or no network is in it")


def check_outputs(outputs: object, classes: int, size: Sequence[int]) -> None:
    """Refuse what `forward` of a mode must not return; see `Mode.forward`. NaN passes: scores take it as background."""
    if not isinstance(outputs, Mapping) or "prediction" not in outputs:
        got = [*outputs] if isinstance(outputs, Mapping) else _described(outputs)
        raise ValueError(f'supervision: forward returns {got}; return a mapping, {{"prediction": …}}')
    for name, values in outputs.items():
        if not isinstance(values, Tensor) or tuple(values.shape[1:]) != (classes, *size):
            fix = f"return [B, {', '.join(map(str, (classes, *size)))}]: data.classes={classes}, at the size it gets"
            raise ValueError(f"supervision: forward returns as {name} {_described(values)}; {fix}")
        if bool(((values < -_TOLERANCE) | (values > 1 + _TOLERANCE)).any()):
            span = f"values from {values.min():.3g} to {values.max():.3g}"
            fix = "return probabilities, e.g. by fovea.supervision.outputs.probabilities(logits, size)"
            raise ValueError(f"supervision: forward returns as {name} {span}; {fix}")


def _described(value: object) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
