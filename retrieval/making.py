"""Makes a gallery whose catalog is in a server, or joins one that is there."""

from __future__ import annotations

from retrieval.catalog.postgres.address import SETTING, CatalogAddress, name_address, read_address, write_address
from retrieval.catalog.postgres.writer import make_catalog
from retrieval.config.editing import change
from retrieval.config.files import user_file
from retrieval.config.values import setting
from retrieval.errors import GalleryError, SettingsError
from retrieval.gallery import Gallery


def make_in_server(gallery: Gallery, address: CatalogAddress) -> bool:
    """Make the folder that of a gallery whose catalog is at an address, and the catalog if there is none yet.

    Nothing is written to the folder before the server has answered.

    Returns:
        Whether the catalog is new; if not, the gallery joins it, with an index of its own.

    Raises:
        SettingsError: the folder holds a gallery with another catalog.
        CatalogUnreachable: the server does not answer, or does not permit it.
        GalleryLocked: another process is writing the catalog.
    """
    elsewhere = "choose another folder with --gallery"
    if gallery.catalog_path.exists():
        raise SettingsError(f"{gallery.path} holds a gallery already, with its catalog in a file", elsewhere)
    if gallery.exists() and (found := read_address(gallery.path)) != address:
        raise SettingsError(f"{gallery.path} holds a gallery already, with its catalog in {found}", elsewhere)
    is_new = make_catalog(address, gallery.path)
    name_address(address)  # whoever asks for it may use it
    try:
        write_address(gallery.path, address)
    except OSError as error:
        raise GalleryError(
            f"cannot write to {gallery.path}: {error.strerror}", "check its permissions, or choose another --gallery"
        ) from error
    return is_new


def remember_server(address: CatalogAddress) -> None:
    """Add the server to the user's settings, so that later commands may use it.

    Raises:
        SettingsError: the file of settings cannot be changed.
    """
    if address.server not in setting(SETTING):
        change(user_file(), SETTING, [*setting(SETTING), address.server])
