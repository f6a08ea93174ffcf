"""Pixels in, pixels out: opening images that may be hostile, and encoding what became of them.

An image is somebody else's bytes. Three things keep it harmless here: only a few well-known formats are tried
(no format that runs a program or reads another file), the pixels it claims to have are counted before one of them
is decoded, and *whatever* goes wrong while it is decoded, of whatever type, is a `Reject`: the same bytes would
fail the same way next time. What the machine got wrong, an I/O error or a lack of memory, is not.

What is kept beside the pixels: the colour profile, the author's name and the copyright notice. Everything else
(place, camera, time, comments, thumbnails, editing history) is dropped; the orientation is applied.
"""

from __future__ import annotations

import errno
import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, BinaryIO

# Imported one by one: that makes them ready in a slot's process (Pillow loads a format at its first use), and the
# three dozen others are never needed.
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from heavylift import Reject

LOADED = (
    *(JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin),
    *(GifImagePlugin, TiffImagePlugin, BmpImagePlugin, AvifImagePlugin),
)

READABLE = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")

WRITABLE = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
}
"""The format of a file by its suffix."""

MAX_BYTES = 256 * 1024 * 1024
MAX_PIXELS = 100_000_000
"""Refused above, in and out; 100 million pixels take about 400 MB. `HEAVYLIFT_MAX_PIXELS` sets another number."""

_MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("L", "LA", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "RGB", "RGBA"),
    "TIFF": ("L", "LA", "RGB", "RGBA", "CMYK"),
    "BMP": ("L", "RGB"),
    "AVIF": ("RGB", "RGBA"),
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"optimize": True, "progressive": True},
    "WEBP": {"method": 4},
    "AVIF": {"speed": 6, "max_threads": 1},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
_LOSSY = ("JPEG", "WEBP", "AVIF")
_WITH_PROFILE = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
_WITH_EXIF = ("JPEG", "PNG", "WEBP", "AVIF")
_MAX_PROFILE = 1024 * 1024
_SPACES = {"L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK"}
_RIGHTS = (0x013B, 0x8298)  # Artist, Copyright
_MACHINE = {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE}


def format_of(reference: str) -> str:
    """The format a file's suffix stands for.

    Raises:
        Reject: none that can be written.
    """
    kind = WRITABLE.get(PurePosixPath(reference).suffix.lower())
    if kind is None:
        raise Reject(f"{reference!r}: the suffix is none of {' '.join(WRITABLE)}")
    return kind


def max_pixels() -> int:
    """How many pixels an image may have."""
    said = os.environ.get("HEAVYLIFT_MAX_PIXELS", "")
    return int(said) if said.isdecimal() else MAX_PIXELS


def check_pixels(reference: str, size: tuple[int, int]) -> None:
    """Refuse a size that is too large to be meant.

    Raises:
        Reject: says the size and the limit.
    """
    if size[0] * size[1] > max_pixels():
        raise Reject(f"{reference!r}: {size[0]} x {size[1]} pixels are more than the {max_pixels():,} allowed")


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its orientation."""


@contextmanager
def decoding(reference: str) -> Iterator[None]:
    """Whatever the bytes make the decoders do inside is a `Reject` that names the file."""
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = max_pixels()
        try:
            yield
        except (Reject, MemoryError):
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as wrong:
            claimed = re.search(r"\d+", str(wrong))
            pixels = f"{int(claimed[0]):,}" if claimed else "too many"
            raise Reject(f"{reference!r}: {pixels} pixels are more than the {max_pixels():,} allowed") from wrong
        except Exception as wrong:
            if isinstance(wrong, OSError) and wrong.errno in _MACHINE:
                raise
            raise Reject(f"{reference!r}: {_what_is_wrong(wrong)}") from wrong
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _what_is_wrong(wrong: Exception) -> str:
    if isinstance(wrong, UnidentifiedImageError):
        return "it is not an image that can be read (JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF)"
    return f"the image is damaged ({str(wrong)[:200] or type(wrong).__name__})"


def open_image(file: BinaryIO, reference: str) -> Image.Image:
    """Read the head of an image; no pixel is decoded yet. Use it inside `decoding`."""
    if not file.read(1):
        raise Reject(f"{reference!r}: the file is empty")
    file.seek(0)
    image = Image.open(file, formats=READABLE)
    check_pixels(reference, image.size)
    return image


def orientation(image: Image.Image) -> int:
    """How a camera was held, 1 to 8 as EXIF has it; 1 where it does not say, or nothing that makes sense."""
    try:
        said = image.getexif().get(0x0112, 1)
    except Exception:
        return 1
    return said if isinstance(said, int) and 1 <= said <= 8 else 1


def upright(image: Image.Image, turn: int) -> Image.Image:
    """The image turned as its orientation says."""
    return image.transpose(TURNS[turn]) if turn in TURNS else image


def rights(image: Image.Image) -> bytes:
    """The author's name and the copyright notice as EXIF data; empty if there are none."""
    kept = Image.Exif()
    try:
        said = image.getexif()
        for tag in _RIGHTS:
            if isinstance(value := said.get(tag), str) and value.strip("\0 "):
                kept[tag] = value.strip("\0 ")[:500]
    except Exception:
        return b""
    return kept.tobytes() if len(kept) else b""


def workable(image: Image.Image) -> Image.Image:
    """The image in a mode that can be scaled: L, LA, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):  # 16 bits a pixel, or a few of 32
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    elif image.mode in ("RGBa", "La", "PA"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    elif image.mode not in ("LA", "RGBA") and image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        if image.mode == "F":
            raise ValueError("its pixels are floating-point numbers")
        image = image.convert("RGB")
    return image


def encode(image: Image.Image, kind: str, quality: int, exif: bytes, notes: list[str]) -> bytes:
    """The image as a file of this format. The same image and options give the same bytes.

    Args:
        image: in a workable mode.
        kind: a value of `WRITABLE`.
        quality: 1 to 100, for the formats that lose.
        exif: what to keep with it.
        notes: what had to be given up is added here.
    """
    profile = _profile(image)
    image = _fitted(image, kind, profile, notes)
    options = dict(_OPTIONS.get(kind, {}))
    if kind in _LOSSY:
        options["quality"] = quality
    if kind in _WITH_PROFILE and profile and profile[16:20] == _SPACES[image.mode]:
        options["icc_profile"] = profile
    if kind in _WITH_EXIF and exif:
        options["exif"] = exif
    image.info = {}  # nothing that is not named above gets into the file
    made = io.BytesIO()
    image.save(made, kind, **options)
    return made.getvalue()


def _profile(image: Image.Image) -> bytes:
    """Its colour profile, if it is one, and for the colours the image has."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 128 <= len(profile) <= _MAX_PROFILE or profile[36:40] != b"acsp":
        return b""
    return profile if profile[16:20] == _SPACES[image.mode] else b""


def _fitted(image: Image.Image, kind: str, profile: bytes, notes: list[str]) -> Image.Image:
    """The image in a mode the format can hold."""
    modes = _MODES[kind]
    carried = kind in _WITH_PROFILE and (image.mode != "CMYK" or "CMYK" in modes)
    if profile and not carried and image.mode in ("RGB", "RGBA", "CMYK"):
        image = _standard_colours(image, profile)
    if image.mode in modes:
        return image
    if image.mode in ("LA", "RGBA") and not {"LA", "RGBA"} & set(modes):
        notes.append("laid on white: the format has no transparency")
        return _on_white(image)
    return image.convert("RGBA" if image.mode in ("LA", "RGBA") else "RGB")


def _standard_colours(image: Image.Image, profile: bytes) -> Image.Image:
    """For formats that cannot carry the profile: the same colours in sRGB."""
    try:
        with_alpha = image.mode == "RGBA"
        opaque = image.convert("RGB") if with_alpha else image
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        turned = ImageCms.profileToProfile(opaque, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if turned is None:
        return image
    if with_alpha:
        turned.putalpha(image.getchannel("A"))
    return turned


def _on_white(image: Image.Image) -> Image.Image:
    below = Image.new("L" if image.mode == "LA" else "RGB", image.size, "white")
    below.paste(image.convert(below.mode), mask=image.getchannel("A"))
    below.info = image.info
    return below
