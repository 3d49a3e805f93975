"""The interface of a 2-D backbone."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn


class Backbone(nn.Module):
    """A network in two calls, so that operators on features, such as propagation, work with every backbone."""

    def features(self, image: Tensor) -> Tensor:
        """Return the output of the decoder, [B, C, h, w], for an image [B, in_channels, H, W]."""
        raise NotImplementedError(f"{type(self).__name__} has no features")

    def classify(self, features: Tensor) -> Tensor:
        """Return logits [B, K, H, W], at the size of the image, for features [B, C, h, w]."""
        raise NotImplementedError(f"{type(self).__name__} has no classify")

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, K, H, W] for an image [B, in_channels, H, W]."""
        return self.classify(self.features(image))

    def parts(self) -> Iterable[nn.Module]:
        """Return the modules that `features` and `classify` call: by default, all children."""
        return self.children()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the parts in place; arguments as of torch.compile."""
        for part in self.parts():
            part.compile(*args, **kwargs)
