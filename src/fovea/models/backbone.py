"""The face of a 2-D backbone."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn


class Backbone(nn.Module):
    """A network in two calls, so that operators on features, such as propagation, work with any of them."""

    classes: int
    """Channels of the logits, K."""

    def features(self, image: Tensor) -> Tensor:
        """The decoder's output [B, C, h, w] of an image [B, in_channels, H, W]."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, K, H, W], at the image's size, of features [B, C, h, w]."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B, K, H, W] of an image [B, in_channels, H, W]."""
        return self.classify(self.features(image))

    def coarser(self) -> list[tuple[nn.Module, int]]:
        """The modules whose outputs are the decoder's coarser scales, and the channels of these, coarsest first.

        Raises:
            ValueError: the decoder of this backbone has none.
        """
        raise ValueError(
            "supervision.deep: this backbone has no coarser scales; choose backbone=smp_unet or basic_unet"
        )

    def scales(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`features(image)`, and the outputs [B, C, h, w] of `coarser` on the way there."""
        found: list[Tensor] = []
        hooks = [
            module.register_forward_hook(lambda _module, _inputs, output: found.append(output))
            for module, _ in self.coarser()
        ]
        try:
            features = self.features(image)
        finally:
            for hook in hooks:
                hook.remove()
        return features, found

    def parts(self) -> Iterable[nn.Module]:
        """The modules that `features` and `classify` call; all children, unless a backbone says otherwise."""
        return self.children()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile in place what `features` and `classify` call; arguments as of torch.compile."""
        for part in self.parts():
            part.compile(*args, **kwargs)
