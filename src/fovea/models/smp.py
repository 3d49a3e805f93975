"""The networks of segmentation-models-pytorch as backbones."""

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import constants
from segmentation_models_pytorch.encoders import encoders
from torch import Tensor, nn

from fovea.models.backbone import Backbone
from fovea.models.weights import load_encoder, packaged_file


class SmpBackbone(Backbone):
    """A network of segmentation-models-pytorch, split at the end of its decoder; see `configs/backbone/smp.yaml`.

    `encoder_name` is one of its encoders, or `tu-` and the name of a timm model, of which every name of
    `encoder_weights` but those of the YAML downloads the weights of the tag. Further options are those of `network`;
    with `tu-` encoders also those of the timm model.
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
        if options.get("activation") is not None:
            raise ValueError("activation: losses and predictions read logits; leave it out")
        known = inspect.signature(network).parameters
        unknown = [name for name in options if name not in known and not encoder_name.startswith("tu-")]
        if unknown:  # the library drops them without a word
            raise ValueError(f"{unknown[0]} is not an option of this network; choose from {', '.join(known)}")
        file = packaged_file(encoder_name) if encoder_weights == "packaged" else _file(encoder_weights)
        arguments = {"encoder_name": encoder_name, "encoder_weights": None if file else encoder_weights, **options}
        try:
            self.network = network(in_channels=in_channels, classes=classes, **arguments)
        except OSError as error:
            raise _not_fetched(encoder_name, str(encoder_weights), error) from error
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            shown = ", ".join(f"{key}={value}" for key, value in arguments.items())
            raise ValueError(f"{shown}: {textwrap.shorten(str(error), 200)}") from error
        if file:
            load_encoder(self.network.encoder, file)

    def features(self, image: Tensor) -> Tensor:
        stride = self.network.encoder.output_stride if self.network.requires_divisible_input_shape else 1
        height, width = image.shape[2:]
        if height % stride or width % stride:
            raise ValueError(f"image: sides must be multiples of {stride} for this backbone, got {height} x {width}")
        return self.network.decoder(self.network.encoder(image))

    def classify(self, features: Tensor) -> Tensor:
        return self.network.segmentation_head(features)

    def parts(self) -> tuple[nn.Module, ...]:
        """Return encoder, decoder and head, since the network itself is never called."""
        return self.network.encoder, self.network.decoder, self.network.segmentation_head


def _file(encoder_weights: str | None) -> str | None:
    """Return the path if it names a file; a missing file is not mistaken for the name of a download."""
    if encoder_weights is None:
        return None
    path = Path(encoder_weights).expanduser()
    return str(path) if path.suffix or len(path.parts) > 1 else None


def _not_fetched(encoder_name: str, encoder_weights: str, error: OSError) -> ValueError:
    """Return the error for weights that are neither in the local cache nor reachable."""
    if encoder_name.startswith("tu-"):
        settings = timm.get_pretrained_cfg(encoder_name.removeprefix("tu-"))
        repository, revision = (settings and settings.hf_hub_id) or encoder_name, ""
    else:
        settings = encoders[encoder_name]["pretrained_settings"][encoder_weights]
        repository, revision = settings["repo_id"], f" --revision {settings['revision']}"
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    return ValueError(
        f"encoder_weights={encoder_weights}: cannot download {repository} ({type(error).__name__}); run "
        f"`hf download {repository}{revision}` on a machine with a network and copy its cache folder to {folder}, "
        "or set backbone.encoder_weights=null"
    )
