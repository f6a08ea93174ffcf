"""`resize`: the right pixels, the right metadata, and no image that can do harm."""

from __future__ import annotations

import errno
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw

from handlers.images import make_plan, resize, resize_target
from heavylift import Context, InvalidJob, Reject
from heavylift.job import Progress
from tests.handlers.conftest import listing, run_elsewhere

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 180, 60), (40, 60, 200), (255, 255, 255)


def quarters(size: tuple[int, int] = (400, 300), mode: str = "RGB") -> Image.Image:
    """Red, green, blue and white, clockwise from the top left: shows how an image is turned."""
    image = Image.new("RGB", size, RED)
    w, h = size
    draw = ImageDraw.Draw(image)
    draw.rectangle((w // 2, 0, w, h // 2), fill=GREEN)
    draw.rectangle((w // 2, h // 2, w, h), fill=BLUE)
    draw.rectangle((0, h // 2, w // 2, h), fill=WHITE)
    return image.convert(mode)


def corners(image: Image.Image) -> list[str]:
    """The colours in the corners, clockwise from the top left."""
    names = {RED: "red", GREEN: "green", BLUE: "blue", WHITE: "white"}
    image = image.convert("RGB")
    w, h = image.size
    found = []
    for at in ((w // 6, h // 6), (w - w // 6, h // 6), (w - w // 6, h - h // 6), (w // 6, h - h // 6)):
        pixel: Any = image.getpixel(at)
        found.append(min(names, key=lambda colour: sum(abs(a - b) for a, b in zip(colour, pixel, strict=True))))
    return [names[colour] for colour in found]


def saved(root: Path, name: str, image: Image.Image, **options: Any) -> str:
    image.save(root / name, **options)
    return name


def run(source: str, **args: Any) -> Any:
    return resize(Context(), source, **args)


def result(root: Path, source: str, **args: Any) -> Image.Image:
    """The image that `resize` makes of a file."""
    with Image.open(root / run(source, **args)["target"]) as image:
        image.load()
        return image


def exif(**tags: Any) -> Image.Exif:
    data = Image.Exif()
    for name, value in tags.items():
        data[int(name[1:], 16)] = value
    return data


# --- size ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("full", "wish", "size"),
    [
        ((4000, 3000), (800, None, "fit", False), (800, 600)),
        ((4000, 3000), (800, 300, "fit", False), (400, 300)),
        ((4000, 3000), (800, 900, "fit", False), (800, 600)),
        ((3, 1000), (1, None, "fit", False), (1, 333)),
        ((5000, 1), (100, None, "fit", False), (100, 1)),
        ((640, 480), (800, None, "fit", False), (640, 480)),
        ((640, 480), (800, None, "fit", True), (800, 600)),
        ((640, 480), (640, 480, "fit", False), (640, 480)),
        ((4000, 3000), (500, 500, "fill", False), (500, 500)),
        ((4000, 3000), (500, None, "fill", False), (500, 500)),
        ((400, 300), (800, 800, "fill", False), (300, 300)),
        ((400, 300), (800, 800, "fill", True), (800, 800)),
        ((400, 300), (80, 200, "exact", False), (80, 200)),
        ((400, 300), (800, 100, "exact", False), (800, 100)),
        ((400, 300), (200, None, "exact", False), (200, 150)),
    ],
)
def test_sizes(full: tuple[int, int], wish: tuple[Any, Any, Any, Any], size: tuple[int, int]) -> None:
    assert make_plan(full, *wish).size == size


@given(
    full=st.tuples(st.integers(1, 70_000), st.integers(1, 70_000)),
    width=st.integers(1, 65_535),
    height=st.none() | st.integers(1, 65_535),
    mode=st.sampled_from(["fit", "fill", "exact"]),
    enlarge=st.booleans(),
)
def test_any_plan_stays_inside_the_image_and_the_wish(
    full: tuple[int, int], width: int, height: int | None, mode: Any, enlarge: bool
) -> None:
    plan = make_plan(full, width, height, mode, enlarge)
    left, top, right, bottom = plan.box
    assert 0 <= left < right <= full[0]
    assert 0 <= top < bottom <= full[1]
    assert 1 <= plan.size[0] <= width
    assert plan.size[1] >= 1
    if height is not None:
        assert plan.size[1] <= height
    if mode != "exact" and not enlarge:
        assert plan.size[0] <= full[0]
        assert plan.size[1] <= full[1]


def test_the_file_has_the_size_that_was_asked_for(root: Path) -> None:
    name = saved(root, "a.jpg", quarters())
    assert result(root, name, width=200).size == (200, 150)
    assert result(root, name, width=90, height=120, mode="fill").size == (90, 120)
    assert result(root, name, width=90, height=120, mode="exact").size == (90, 120)


def test_fill_takes_the_middle(root: Path) -> None:
    image = Image.new("RGB", (900, 300), RED)
    image.paste(GREEN, (300, 0, 600, 300))
    name = saved(root, "a.png", image)
    assert set(corners(result(root, name, width=100, height=100, mode="fill"))) == {"green"}


def test_an_image_is_not_enlarged_unasked_and_the_result_says_so(root: Path) -> None:
    done = run(saved(root, "a.png", quarters((64, 48))), width=800)
    assert (done["width"], done["height"]) == (64, 48)
    assert done["notes"] == ["not enlarged: the source is 64 x 48"]


@pytest.mark.parametrize("mode", ["fit", "fill", "exact"])
def test_shrink_on_load_shifts_nothing(root: Path, mode: str) -> None:
    """A large JPEG, decoded small, against the same pixels from a format that is always decoded whole."""
    picture = quarters((3001, 2003))
    for name in ("a.jpg", "b.png"):
        saved(root, name, picture)
    one = result(root, "a.jpg", width=301, height=177, mode=mode, target="a-out.png")
    other = result(root, "b.png", width=301, height=177, mode=mode, target="b-out.png")
    assert one.size == other.size
    small = [image.resize((30, 20), Image.Resampling.BOX).tobytes() for image in (one, other)]
    assert max(abs(x - y) for x, y in zip(*small, strict=True)) < 16


@pytest.mark.parametrize("field", ["width", "height", "quality"])
@pytest.mark.parametrize("value", [0, -1, 100_000])
def test_numbers_out_of_range_are_refused_when_the_job_is_made(field: str, value: int) -> None:
    given: dict[str, Any] = {field: value}
    with pytest.raises(InvalidJob, match=field):
        resize.job("a.jpg", **given)


# --- orientation --------------------------------------------------------------------------------------

TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_an_image_comes_out_upright_and_says_so(root: Path, suffix: str) -> None:
    image = quarters((800, 600))
    for orientation in range(1, 9):
        stored = image.transpose(TURNED[orientation]) if orientation > 1 else image
        name = saved(root, f"a{orientation}.{suffix}", stored, exif=exif(x0112=orientation))
        done = result(root, name, width=200)
        assert done.size == (200, 150), orientation
        assert corners(done) == ["red", "green", "blue", "white"], orientation
        assert done.getexif().get(0x0112, 1) == 1


def test_a_box_counts_for_the_upright_image(root: Path) -> None:
    stored = quarters((1600, 1200)).transpose(Image.Transpose.ROTATE_90)
    name = saved(root, "a.jpg", stored, exif=exif(x0112=6))
    done = result(root, name, width=400, height=100, mode="fill")
    assert done.size == (400, 100)
    assert corners(done) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize("nonsense", [0, 9, 65535])
def test_an_orientation_that_makes_no_sense_is_ignored(root: Path, nonsense: Any) -> None:
    name = saved(root, "a.jpg", quarters(), exif=exif(x0112=nonsense))
    assert corners(result(root, name, width=200)) == ["red", "green", "blue", "white"]


def test_exif_data_that_cannot_be_read_is_ignored(root: Path) -> None:
    name = saved(root, "a.jpg", quarters(), exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 100)
    assert result(root, name, width=200).size == (200, 150)


# --- colours, transparency, metadata ------------------------------------------------------------------


def profile_of(colours: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(colours)).tobytes()  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_the_colour_profile_is_kept(root: Path, suffix: str) -> None:
    profile = profile_of("sRGB")
    name = saved(root, f"a.{suffix}", quarters(), icc_profile=profile)
    assert result(root, name, width=200).info["icc_profile"] == profile


def test_a_profile_for_other_colours_than_the_images_is_dropped(root: Path) -> None:
    name = saved(root, "a.png", quarters(mode="L"), icc_profile=profile_of("sRGB"))
    assert "icc_profile" not in result(root, name, width=200).info


def test_what_is_no_profile_is_dropped(root: Path) -> None:
    name = saved(root, "a.png", quarters(), icc_profile=b"x" * 500)
    assert "icc_profile" not in result(root, name, width=200).info


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "gif", "avif"])
def test_transparency_is_kept_where_the_format_has_it(root: Path, suffix: str) -> None:
    image = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    image.paste((220, 30, 30, 255), (0, 0, 200, 400))
    done = result(root, saved(root, "a.png", image), width=100, target=f"b.{suffix}").convert("RGBA")
    clear: Any = done.getpixel((80, 50))
    solid: Any = done.getpixel((20, 50))
    assert clear[3] < 10
    assert solid[3] > 245


def test_transparent_pixels_do_not_bleed_their_colour(root: Path) -> None:
    """Half transparent black beside solid red must not darken the red."""
    image = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 201, 400))
    done = result(root, saved(root, "a.png", image), width=100)
    edges: list[Any] = [done.getpixel((x, 50)) for x in range(45, 56)]
    assert all(pixel[0] > 240 for pixel in edges if pixel[3] > 20)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("suffix", ["jpg", "bmp"])
def test_a_transparent_image_is_laid_on_white_for_formats_without(root: Path, mode: str, suffix: str) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 32, 64))
    if mode == "P":
        saved(root, "a.gif", image)
    done = run("a.gif" if mode == "P" else saved(root, "a.png", image.convert(mode)), width=32, target=f"b.{suffix}")
    with Image.open(root / f"b.{suffix}") as made:
        right: Any = made.convert("RGB").getpixel((28, 16))
        left: Any = made.convert("RGB").getpixel((4, 16))
    assert min(right) > 240
    assert max(left) < 15
    assert done["notes"] == ["laid on white: the format has no transparency"]


def test_a_colour_declared_transparent_becomes_transparency(root: Path) -> None:
    name = saved(root, "a.png", quarters(), transparency=WHITE)
    pixel: Any = result(root, name, width=200).getpixel((20, 130))
    assert pixel[3] == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr", "LAB"])
def test_every_mode_can_become_every_format(root: Path, mode: str) -> None:
    image = Image.new("I;16", (40, 30), 51_400) if mode == "I;16" else quarters((40, 30)).convert(mode)
    saved(root, "a.tif", image)
    for suffix in ("jpg", "png", "webp", "gif", "tif", "bmp", "avif"):
        done = result(root, "a.tif", width=20, target=f"b.{suffix}")
        assert done.size == (20, 15)
        if mode == "I;16":
            assert abs(float(done.convert("L").getpixel((10, 7))) - 200) < 4  # type: ignore[arg-type]


def test_a_cmyk_photograph_stays_what_it_is_as_jpeg_and_becomes_rgb_elsewhere(root: Path) -> None:
    name = saved(root, "a.jpg", quarters(mode="CMYK"))
    assert result(root, name, width=100).mode == "CMYK"
    assert corners(result(root, name, width=100, target="b.png")) == ["red", "green", "blue", "white"]


def test_where_the_camera_stood_is_not_passed_on_but_whose_picture_it_is(root: Path) -> None:
    data = exif(x013b="Ada", x8298="(c) Ada 2024", x010f="Camera", x9286="a comment")
    data.get_ifd(0x8825)[1] = "N"
    name = saved(root, "a.jpg", quarters(), exif=data, comment=b"secret comment")
    done = result(root, name, width=200)
    assert dict(done.getexif()) == {0x013B: "Ada", 0x8298: "(c) Ada 2024"}
    assert not done.getexif().get_ifd(0x8825)
    assert b"secret" not in (root / "out" / "a-200.jpg").read_bytes()


def test_png_texts_are_not_passed_on(root: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Comment", "secret comment")
    saved(root, "a.png", quarters(), pnginfo=texts)
    run("a.png", width=200)
    assert b"omment" not in (root / "out" / "a-200.png").read_bytes()


def test_of_several_frames_the_first_is_taken_and_the_result_says_so(root: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, GREEN)]
    frames[0].save(root / "a.gif", save_all=True, append_images=frames[1:])
    done = run("a.gif", width=20)
    assert done["notes"] == ["the first of several frames"]
    with Image.open(root / done["target"]) as image:
        assert not getattr(image, "is_animated", False)
        assert set(corners(image)) == {"red"}


# --- files --------------------------------------------------------------------------------------------


def test_the_target_has_a_name_made_from_source_and_width() -> None:
    assert resize_target("samples/harbour.jpg", 800) == "samples/out/harbour-800.jpg"
    assert resize_target("a.b.PNG", 64) == "out/a.b-64.PNG"


@pytest.mark.parametrize("name", ["notes.txt", "sales.csv", "noname", "make_samples.py", ".jpg"])
def test_no_target_for_what_is_no_image(name: str) -> None:
    with pytest.raises(Reject, match="suffix is none of"):
        resize_target(name)


def test_the_format_follows_the_suffix_of_the_target(root: Path) -> None:
    name = saved(root, "a.png", quarters())
    for suffix, kind in ((".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP"), (".tif", "TIFF")):
        assert run(name, width=100, target=f"b{suffix}")["format"] == kind
        with Image.open(root / f"b{suffix}") as made:
            assert made.format == kind


def test_a_suffix_that_lies_about_the_format_does_no_harm(root: Path) -> None:
    saved(root, "a.jpg", quarters(), format="PNG")
    assert run("a.jpg", width=100)["format"] == "JPEG"


@pytest.mark.parametrize("target", ["b.txt", "b", "b.svg", "b.py", "b.eps"])
def test_a_target_with_another_suffix_is_rejected(root: Path, target: str) -> None:
    saved(root, "a.png", quarters())
    with pytest.raises(Reject, match="suffix is none of"):
        run("a.png", target=target)
    assert listing(root) == ["a.png"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "bmp", "avif"])
def test_running_twice_gives_the_same_bytes(root: Path, suffix: str) -> None:
    saved(root, "a.png", quarters((900, 700)).effect_spread(9).convert("RGBA"))
    for target in (f"b.{suffix}", f"c.{suffix}", f"b.{suffix}"):
        run("a.png", width=300, target=target)
    assert (root / f"b.{suffix}").read_bytes() == (root / f"c.{suffix}").read_bytes()


def test_the_result_tells_what_was_made(root: Path) -> None:
    done = run(saved(root, "a.jpg", quarters()), width=200)
    size = (root / "out" / "a-200.jpg").stat().st_size
    assert done == {
        "target": "out/a-200.jpg",
        "width": 200,
        "height": 150,
        "bytes": size,
        "format": "JPEG",
        "source_width": 400,
        "source_height": 300,
        "notes": [],
    }


def test_a_better_quality_makes_a_larger_file(root: Path) -> None:
    saved(root, "a.png", quarters((900, 700)).effect_spread(9))
    sizes = [run("a.png", target=f"{q}.jpg", quality=q)["bytes"] for q in (30, 60, 95)]
    assert sizes == sorted(sizes)


def test_the_source_is_never_overwritten(root: Path) -> None:
    saved(root, "a.jpg", quarters())
    before = (root / "a.jpg").read_bytes()
    with pytest.raises(Reject, match="source itself"):
        run("a.jpg", target="a.jpg")
    assert (root / "a.jpg").read_bytes() == before


@pytest.mark.parametrize("field", ["source", "target"])
@pytest.mark.parametrize("reference", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "a\0.jpg", "link/a.jpg"])
def test_nothing_outside_the_root_is_read_or_written(root: Path, field: str, reference: str) -> None:
    saved(root, "a.jpg", quarters())
    saved(root.parent, "a.jpg", quarters())
    (root / "link").symlink_to(root.parent)
    before = listing(root.parent)
    with pytest.raises(Reject):
        run(**{"source": "a.jpg", field: reference})
    assert listing(root.parent) == before


def test_progress_goes_up_to_the_end(root: Path) -> None:
    seen: list[Progress] = []

    class Listening(Context):
        def progress(
            self, fraction_or_done: float | None = None, total: float | None = None, message: str = ""
        ) -> None:
            seen.append(Progress(fraction_or_done, message=message))

    resize(Listening(), saved(root, "a.jpg", quarters()), width=100)
    fractions = [progress.fraction or 0.0 for progress in seen]
    assert fractions == sorted(fractions)
    assert [progress.message for progress in seen] == ["opening", "decoding", "resizing", "encoding", "saving", "saved"]
    assert fractions[-1] == 1.0


DISK_FULL = """
import resource, sys
from heavylift import Context
from handlers.images import resize
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    resize(Context(), "a.png", width=300)
except OSError as wrong:
    print(wrong.errno)
"""


def test_a_disk_that_is_full_is_worth_another_try_and_leaves_nothing(root: Path) -> None:
    saved(root, "a.png", quarters((400, 300)).effect_spread(30))
    assert run_elsewhere(root, DISK_FULL).strip() == str(errno.EFBIG)
    assert listing(root) == ["a.png"]


# --- hostile files ------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def bomb() -> bytes:
    """A PNG of 20,000 by 20,000 pixels in 390 KB."""
    packer = zlib.compressobj(9)
    row = bytes(20_001)
    data = b"".join(packer.compress(row) for _ in range(20_000)) + packer.flush()
    return png(20_000, 20_000, chunk(b"IDAT", data))


LIMITED = """
import resource, sys
from heavylift import Context, Reject
from handlers.images import resize
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    resize(Context(), sys.argv[1])
except Reject as reason:
    print(reason)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_decompression_bomb_is_rejected_before_a_pixel_is_decoded(root: Path) -> None:
    (root / "a.png").write_bytes(bomb())
    reason, growth = run_elsewhere(root, LIMITED, "a.png").splitlines()
    assert reason == "'a.png': 400,000,000 pixels are more than the 100,000,000 allowed"
    assert int(growth) < 20_000, "KiB of memory taken"


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "gif", "tif", "bmp"])
def test_the_cap_on_pixels_holds_for_every_format_and_can_be_set(
    root: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    saved(root, f"a.{kind}", quarters((100, 101)))
    monkeypatch.setenv("HEAVYLIFT_MAX_PIXELS", "10000")
    with pytest.raises(Reject, match=r"pixels are more than the 10,000 allowed"):
        run(f"a.{kind}")
    monkeypatch.setenv("HEAVYLIFT_MAX_PIXELS", "10100")
    assert run(f"a.{kind}", width=10)["width"] == 10


def test_the_cap_on_pixels_holds_for_the_result_too(root: Path) -> None:
    saved(root, "a.png", quarters((10, 10)))
    with pytest.raises(Reject, match="20000 x 20000 pixels are more than"):
        run("a.png", width=20_000, enlarge=True)


def test_the_cap_is_put_back_for_other_handlers_of_the_process(root: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    run(saved(root, "a.png", quarters()), width=10)
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "gif", "tif", "bmp", "avif"])
def test_a_truncated_image_is_rejected_and_leaves_nothing(root: Path, kind: str) -> None:
    whole = io.BytesIO()
    quarters((400, 300)).effect_spread(20).save(whole, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()))
    data = whole.getvalue()
    for part in (0.3, 0.7, 0.95):
        (root / f"a.{kind}").write_bytes(data[: int(len(data) * part)])
        with pytest.raises(Reject, match=f"'a.{kind}'"):
            run(f"a.{kind}", width=100)
        assert listing(root) == [f"a.{kind}"]


HOSTILE = {
    "empty.jpg": (b"", "the file is empty"),
    "text.jpg": (b"hello, I am a text\n" * 100, "not an image that can be read"),
    "vector.png": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "not an image"),
    "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image"),
    "document.png": (b"%PDF-1.4\n" + b"0" * 100, "not an image"),
    "zeros.png": (bytes(10_000), "not an image"),
    "just-head.png": (b"\x89PNG\r\n\x1a\n", "image"),
    "no-size.png": (png(0, 0, chunk(b"IDAT", zlib.compress(b""))), "image"),
    "bad-check.png": (png(9, 9, chunk(b"IDAT", zlib.compress(bytes(90)))).replace(b"IHDR", b"IHDR\1", 1), "image"),
    "no-pixels.png": (png(9, 9), "image"),
    "garbage.png": (png(9, 9, chunk(b"IDAT", b"not zlib at all")), "image"),
    "text-bomb.png": (
        png(
            9,
            9,
            chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(200_000_000), 1)),
            chunk(b"IDAT", zlib.compress(bytes(90))),
        ),
        "image",
    ),
    "head.jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image"),
    "lengths.jpg": (b"\xff\xd8" + b"\xff\xe1\0\2" * 50_000, "image"),
    "head.webp": (b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0" + b"\xff" * 30, "pixels|image"),
    "wide.gif": (b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\0;", "image|pixels"),
    "loop.tif": (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "image"),
    "far.tif": (b"II*\0\xff\xff\xff\x7f", "image"),
    "wide.bmp": (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0),
        "pixels|image",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_rejected_with_a_reason_and_leave_nothing(root: Path, name: str) -> None:
    data, why = HOSTILE[name]
    (root / name).write_bytes(data)
    with pytest.raises(Reject, match=why) as caught:
        run(name)
    assert repr(name) in str(caught.value)
    assert len(str(caught.value)) < 400
    assert listing(root) == [name]


def test_huge_exif_data_does_no_harm(root: Path) -> None:
    data = exif(x0112=6, x010e="x" * 60_000)
    name = saved(root, "a.png", quarters((40, 60)), exif=data.tobytes() + bytes(5_000_000))
    assert run(name, width=30)["bytes"] < 5000
