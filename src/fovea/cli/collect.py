"""`fovea-collect`: a page on which people label images in a browser."""

import logging

from fovea.runtime.app import Config, command
from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)
OPTIONS = (
    *("mode", "structure", "size", "radius", "blur", "brush", "interval"),
    *("embed", "practice", "split", "count", "seed"),
)


@command("collect")
def main(config: Config) -> None:
    """Write `out/collect.html` for the images of `data.root`."""
    from fovea.collect.page import PAGE, write_page
    from fovea.data.images.source import folder_of
    from fovea.data.maps import data_keys
    from fovea.runtime.bounds import check
    from fovea.runtime.command_line import words
    from fovea.runtime.config import path_of

    data, out, options = config["data"], path_of(config, "out"), {key: config[key] for key in OPTIONS}
    check(write_page, options, "")
    dataset = folder_of(data)(root=data["root"])
    keys, _ = data_keys({**data, "root": dataset.root.absolute()})
    count, failures = write_page(dataset, out, words(keys), **options)
    log.info("%d images in %s (%.1f MB)", count, out / PAGE, (out / PAGE).stat().st_size / 1e6)
    if failures:
        few = first_few(failures.values(), 2)
        raise ValueError(f"{len(failures)} images are not on the page, the other {count} are: {few}")


if __name__ == "__main__":
    main()
