"""The face of a 2-D backbone."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn


class Backbone(nn.Module):
    """A network in two calls, so that operators on features, such as propagation, work with any of them."""

    def features(self, image: Tensor) -> Tensor:
        """The decoder's output [B, C, h, w] of an image [B, in_channels, H, W]."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, K, H, W], at the image's size, of features [B, C, h, w]."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B, K, H, W] of an image [B, in_channels, H, W]."""
        return self.classify(self.features(image))

    def parts(self) -> Iterable[nn.Module]:
        """The modules that `features` and `classify` call; all children, unless a backbone says otherwise."""
        return self.children()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile in place what `features` and `classify` call; arguments as of torch.compile."""
        for part in self.parts():
            part.compile(*args, **kwargs)
