"""The networks of segmentation-models-pytorch as backbones."""

import difflib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import timm
from huggingface_hub import constants
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from segmentation_models_pytorch.encoders import encoders
from torch import Tensor, nn

from fovea.models.backbone import Backbone


class SmpBackbone(Backbone):
    """A network of segmentation-models-pytorch, split where its decoder ends.

    Args:
        network: A class of segmentation-models-pytorch such as `Unet`.
        encoder_name: One of its encoders, or `tu-` and a model of timm.
        encoder_weights: Pretrained weights of the encoder (`imagenet`; for `tu-` encoders anything fetches those of
            the name's tag), or None for random ones.
        in_channels: Channels of the image.
        classes: Channels of the logits.
        **options: Further arguments of `network`, such as `encoder_depth` and `decoder_channels`; for `tu-` encoders
            also those of timm's model.

    Raises:
        ValueError: an unknown encoder or option, weights that cannot be fetched, or options that do not fit together.
    """

    def __init__(
        self,
        network: Callable[..., Any],
        encoder_name: str,
        encoder_weights: str | None,
        in_channels: int,
        classes: int,
        **options: Any,
    ) -> None:
        super().__init__()
        self.classes = classes
        _check_names(network, encoder_name, encoder_weights, options)
        arguments = {"encoder_name": encoder_name, "encoder_weights": encoder_weights, **options}
        try:
            self.network = network(in_channels=in_channels, classes=classes, **arguments)
        except OSError as error:
            raise _unfetched(encoder_name, str(encoder_weights), error) from error
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            shown = ", ".join(f"{key}={value}" for key, value in arguments.items())
            reason = " ".join(str(error).split())
            raise ValueError(f"backbone: these arguments do not fit together: {shown}: {reason}") from error

    def features(self, image: Tensor) -> Tensor:
        """The decoder's output [B, C, h, w] of an image [B, in_channels, H, W].

        Raises:
            ValueError: the sides of the image are not multiples of what the network needs.
        """
        stride = self.network.encoder.output_stride if self.network.requires_divisible_input_shape else 1
        height, width = image.shape[2:]
        if height % stride or width % stride:
            raise ValueError(f"data.size: {height} x {width} px do not suit this backbone; give multiples of {stride}")
        return self.network.decoder(self.network.encoder(image))

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, classes, H, W], at the image's size, of features [B, C, h, w]."""
        return self.network.segmentation_head(features)

    def coarser(self) -> list[tuple[nn.Module, int]]:
        """The blocks of a U-Net's decoder but the last.

        Raises:
            ValueError: the network's decoder is no such chain of blocks.
        """
        blocks = getattr(self.network.decoder, "blocks", None)
        if not isinstance(blocks, nn.ModuleList) or not all(isinstance(block, UnetDecoderBlock) for block in blocks):
            return super().coarser()
        ends = [cast("nn.Module", block.conv2).modules() for block in blocks]
        widths = [next(each for each in end if isinstance(each, nn.Conv2d)).out_channels for end in ends]
        return list(zip(blocks[:-1], widths[:-1], strict=True))

    def parts(self) -> tuple[nn.Module, ...]:
        """Encoder, decoder and head: the network itself is never called."""
        return self.network.encoder, self.network.decoder, self.network.segmentation_head


def _check_names(
    network: Callable[..., nn.Module], encoder_name: str, encoder_weights: str | None, options: dict[str, Any]
) -> None:
    """Refuse names that the library answers with a list of hundreds, or not at all."""
    timms = encoder_name.startswith("tu-")
    known = [f"tu-{name}" for name in timm.list_models()] if timms else list(encoders)
    if encoder_name.partition(".")[0] not in known:
        close = difflib.get_close_matches(encoder_name, known, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else "choose an encoder of segmentation-models-pytorch"
        raise ValueError(f"backbone.encoder_name={encoder_name} is unknown; {hint}")
    if timms:
        return
    offered = ["null", *encoders[encoder_name]["pretrained_settings"]]
    if encoder_weights is not None and encoder_weights not in offered:
        raise ValueError(f"backbone.encoder_weights={encoder_weights} is unknown; choose {' or '.join(offered)}")
    # The library passes unknown options on to timm, and drops them where the encoder is not timm's.
    taken = inspect.signature(network).parameters
    for option in options:
        if option not in taken:
            raise ValueError(f"backbone.{option} is no option of this network; choose among {', '.join(taken)}")


def _unfetched(encoder_name: str, encoder_weights: str, error: OSError) -> ValueError:
    """The line for weights that are neither in the local cache nor within reach."""
    if encoder_name.startswith("tu-"):
        settings = timm.get_pretrained_cfg(encoder_name.removeprefix("tu-"))
        repository, revision = (settings and settings.hf_hub_id) or encoder_name, ""
    else:
        settings = encoders[encoder_name]["pretrained_settings"][encoder_weights]
        repository, revision = settings["repo_id"], f" --revision {settings['revision']}"
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    return ValueError(
        f"backbone.encoder_weights={encoder_weights}: {repository} cannot be fetched ({type(error).__name__}); "
        f"run `hf download {repository}{revision}` where there is a network and copy its cache folder to {folder}, "
        "or set backbone.encoder_weights=null"
    )
