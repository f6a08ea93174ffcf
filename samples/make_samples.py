"""Makes the sample files of this folder: five pictures that nobody owns, and a table of sales.

    python samples/make_samples.py [folder]

Everything is drawn from seeded random numbers, so a second run paints the same pictures: a harbour at sunset
(JPEG), a lighthouse that was "taken" with the camera on its side (JPEG with EXIF orientation 6), mountains in the mist
(JPEG of 12 megapixels), a balloon (PNG with transparency), lights of a town (WebP), and `sales.csv`.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]


# --- the paint box ------------------------------------------------------------------------------------


def gradient(size: tuple[int, int], stops: Sequence[tuple[float, Colour]]) -> Image.Image:
    """Colours from top to bottom; a stop is a height from 0 to 1 and its colour."""
    column = Image.new("RGB", (1, size[1]))
    for y in range(size[1]):
        at = y / max(1, size[1] - 1)
        (low, first), (high, second) = next(
            (pair for pair in pairwise(stops) if at <= pair[1][0]), (stops[-1], stops[-1])
        )
        part = (at - low) / (high - low) if high > low else 0.0
        part = part * part * (3 - 2 * part)
        column.putpixel((0, y), mix(first, second, part))
    return column.resize(size)


def mix(first: Colour, second: Colour, part: float) -> Colour:
    """A colour between two."""
    part = min(1.0, max(0.0, part))
    r, g, b = (round(x + (y - x) * part) for x, y in zip(first, second, strict=True))
    return (r, g, b)


def clouds(random: Random, size: tuple[int, int], cells: tuple[int, int], octaves: int = 5) -> Image.Image:
    """Soft noise, grey: ever finer random grids, each half as strong."""
    total = Image.new("L", size, 128)
    for octave in range(octaves):
        grid = (cells[0] * 2**octave + 1, cells[1] * 2**octave + 1)
        grain = Image.frombytes("L", grid, random.randbytes(grid[0] * grid[1]))
        total = Image.blend(total, grain.resize(size, Image.Resampling.BICUBIC), 1 / (octave + 1.7))
    return total


def levels(image: Image.Image, low: int, high: int) -> Image.Image:
    """Stretch greys so that `low` becomes black and `high` white."""
    return image.point([min(255, max(0, (v - low) * 255 // (high - low))) for v in range(256)])


def ridge(random: Random, width: int, rough: float, points: int = 9) -> list[float]:
    """A line of hills, one height per pixel, about -1 to 1: a line broken in the middle again and again."""
    line = [random.uniform(-1, 1) for _ in range(points)]
    strength = 0.5
    while len(line) < width:
        broken: list[float] = []
        for left, right in pairwise(line):
            broken += [left, (left + right) / 2 + random.uniform(-1, 1) * strength * rough]
        line, strength = [*broken, line[-1]], strength / 2
    return line[:width]


def below(size: tuple[int, int], line: Sequence[float], base: float, height: float) -> Image.Image:
    """A mask of everything below a line of hills."""
    mask = Image.new("L", size)
    top = [(x, base - height * y) for x, y in enumerate(line)]
    ImageDraw.Draw(mask).polygon([*top, (size[0], size[1]), (0, size[1])], fill=255)
    return mask


def glow(picture: Image.Image, centre: Point, radius: float, colour: Colour, strength: float = 1.0) -> Image.Image:
    """Light added around a point, fading outwards."""
    small = 128
    spot = Image.radial_gradient("L").resize((small, small))
    spot = spot.point([round(255 * strength * max(0.0, 1 - v / 180) ** 2.4) for v in range(256)])
    side = round(radius * 2)
    light = Image.new("L", picture.size)
    light.paste(
        spot.resize((side, side), Image.Resampling.BICUBIC), (round(centre[0] - radius), round(centre[1] - radius))
    )
    return Image.composite(ImageChops.add(picture, Image.new("RGB", picture.size, colour)), picture, light)


def grain(random: Random, picture: Image.Image, strength: float) -> Image.Image:
    """A little noise, as a sensor gives it: without it, gradients look drawn."""
    tile = Image.frombytes("L", (256, 256), random.randbytes(256 * 256)).filter(ImageFilter.GaussianBlur(0.7))
    noise = Image.new("L", picture.size)
    for x in range(0, picture.width, 256):
        for y in range(0, picture.height, 256):
            noise.paste(tile, (x, y))
    return Image.blend(picture, ImageChops.overlay(picture, Image.merge("RGB", (noise,) * 3)), strength)


# --- the pictures -------------------------------------------------------------------------------------


def harbour() -> Image.Image:
    """Boats before the setting sun."""
    random, size = Random(11), (1920, 1280)
    horizon = 760
    sky = gradient(
        (1920, horizon), [(0, (38, 54, 104)), (0.45, (152, 92, 128)), (0.78, (243, 144, 96)), (1, (255, 206, 130))]
    )
    veil = levels(clouds(random, sky.size, (3, 5)), 118, 190)
    fade = gradient(sky.size, [(0, (150, 150, 150)), (0.6, (230, 230, 230)), (1, (60, 60, 60))]).convert("L")
    lit = gradient(sky.size, [(0, (118, 92, 138)), (0.5, (236, 134, 122)), (1, (255, 224, 160))])
    sky = Image.composite(lit, sky, ImageChops.multiply(veil, fade))
    sun = (1240.0, 640.0)
    sky = glow(sky, sun, 900, (150, 84, 30), 0.8)
    sky = glow(sky, sun, 260, (255, 220, 150), 0.95)
    disc = Image.new("L", sky.size)
    ImageDraw.Draw(disc).ellipse((sun[0] - 46, sun[1] - 46, sun[0] + 46, sun[1] + 46), fill=255)
    sky.paste((255, 246, 214), mask=disc.filter(ImageFilter.GaussianBlur(2)))
    for base, height, colour in ((735, 70, (150, 92, 110)), (752, 46, (96, 62, 92)), (764, 26, (56, 42, 74))):
        mask = below(sky.size, ridge(random, 1920, 0.55, 7), base, height)
        sky.paste(
            Image.blend(Image.new("RGB", sky.size, colour), sky, 0.12), mask=mask.filter(ImageFilter.GaussianBlur(1))
        )
    picture = Image.new("RGB", size)
    picture.paste(sky)
    boats = Image.new("L", size)
    for x, y, scale in ((300, 800, 1.15), (560, 776, 0.6), (860, 786, 0.8), (1600, 812, 1.4), (1060, 772, 0.42)):
        boat(ImageDraw.Draw(boats), x, y, scale)
    picture.paste(water(random, sky, (1920, 1280 - horizon)), (0, horizon))
    picture = glow(picture, (sun[0], 790), 320, (130, 80, 30), 0.5)
    mirrored = boats.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    for x, y, scale in ((300, 800, 1.15), (560, 776, 0.6), (860, 786, 0.8), (1600, 812, 1.4), (1060, 772, 0.42)):
        part = mirrored.crop(
            (int(x - 170 * scale), size[1] - y - 4, int(x + 170 * scale), min(size[1], size[1] - y + int(230 * scale)))
        )
        part = part.filter(ImageFilter.GaussianBlur(3)).point([v * 55 // 100 for v in range(256)])
        picture.paste((52, 38, 62), (int(x - 170 * scale), y - 4), part)
    picture.paste((34, 27, 48), mask=boats.filter(ImageFilter.GaussianBlur(0.8)))
    return grain(random, picture, 0.06)


def water(random: Random, sky: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The sky upside down, broken into ever longer waves towards the shore."""
    still = sky.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((size[0], sky.height)).crop((0, 0, *size))
    still = Image.blend(still, Image.new("RGB", size, (40, 48, 84)), 0.28)
    made = Image.new("RGB", size)
    phase = [random.uniform(0, 7) for _ in range(3)]
    for row in range(size[1]):
        depth = row / size[1]
        sway = math.sin(row / (2 + 12 * depth) + phase[0]) + 0.6 * math.sin(row / (1.3 + 5 * depth) + phase[1])
        made.paste(
            ImageChops.offset(still.crop((0, row, size[0], row + 1)), round(sway * (2 + 26 * depth)), 0), (0, row)
        )
    ripples = Image.new("L", size)
    y = 0.0
    while y < size[1]:
        rows = max(1, round(1 + 9 * (y / size[1]) ** 1.5))
        strip = levels(clouds(random, (size[0], rows), (max(6, round(70 - 110 * y / size[1])), 1), 3), 96, 190)
        ripples.paste(strip, (0, round(y)))
        y += rows
    ripples = ripples.filter(ImageFilter.GaussianBlur(1.1))
    dark = Image.blend(made, Image.new("RGB", size, (26, 30, 62)), 0.45)
    bright = ImageChops.screen(made, Image.new("RGB", size, (60, 44, 30)))
    return Image.composite(bright, dark, ripples)


def boat(draw: ImageDraw.ImageDraw, x: float, y: float, scale: float) -> None:
    """A sailing boat at anchor, black on nothing."""

    def at(*points: Point) -> list[Point]:
        return [(x + px * scale, y + py * scale) for px, py in points]

    draw.polygon(at((-120, -22), (130, -28), (96, 6), (-92, 6)), fill=255)
    draw.polygon(at((-40, -24), (-30, -46), (44, -46), (58, -24)), fill=255)
    width = max(2, round(5 * scale))
    draw.line(at((6, -26), (6, -222)), fill=255, width=width)
    draw.line(at((6, -60), (-98, -54)), fill=255, width=max(2, round(7 * scale)))
    thin = max(1, round(1.6 * scale))
    for end in ((-118, -24), (126, -28)):
        draw.line(at((6, -220), end), fill=255, width=thin)


def lighthouse() -> Image.Image:
    """A lighthouse on a cliff at dusk, upright."""
    random, size = Random(5), (1200, 1600)
    picture = gradient(
        size,
        [
            (0, (20, 34, 70)),
            (0.4, (64, 92, 140)),
            (0.66, (216, 152, 140)),
            (0.76, (250, 206, 160)),
            (1, (250, 206, 160)),
        ],
    )
    veil = ImageChops.multiply(
        levels(clouds(random, size, (2, 6)), 120, 200),
        gradient(size, [(0, (60, 60, 60)), (0.4, (210, 210, 210)), (0.75, (90, 90, 90)), (1, (0, 0, 0))]).convert("L"),
    )
    picture.paste((244, 188, 176), mask=veil)
    stars = ImageDraw.Draw(picture)
    for _ in range(140):
        x, y = random.randrange(1200), int(520 * random.random() ** 1.6)
        stars.point((x, y), fill=mix((90, 110, 160), (255, 255, 250), random.random() * (1 - y / 620)))
    sea = gradient((1200, 400), [(0, (206, 160, 152)), (0.25, (104, 112, 146)), (1, (26, 40, 72))])
    waves = levels(clouds(random, (1200, 400), (5, 60), 4), 110, 180)
    sea = Image.composite(ImageChops.screen(sea, Image.new("RGB", sea.size, (40, 40, 44))), sea, waves)
    picture.paste(sea, (0, 1200))
    beam = Image.new("L", size)
    ImageDraw.Draw(beam).polygon([(742, 470), (-80, 250), (-80, 470)], fill=120)
    ImageDraw.Draw(beam).polygon([(742, 470), (1300, 400), (1300, 470)], fill=90)
    beam = ImageChops.multiply(
        beam.filter(ImageFilter.GaussianBlur(14)),
        Image.linear_gradient("L").rotate(90).resize(size).point([110 + v * 145 // 255 for v in range(256)]),
    )
    picture = Image.composite(
        Image.new("RGB", size, (255, 238, 190)), picture, beam.point([v * 60 // 100 for v in range(256)])
    )
    cliff = Image.new("L", size)
    edge = ridge(random, 1200, 0.9, 12)
    shape = [(x, 1130 + 26 * edge[x] + 520 / (1 + math.exp((x - 420) / 34))) for x in range(1200)]
    ImageDraw.Draw(cliff).polygon([*shape, (1200, 1600), (0, 1600)], fill=255)
    rock = gradient(size, [(0, (70, 74, 66)), (0.7, (78, 84, 64)), (0.78, (62, 58, 60)), (1, (30, 30, 42))])
    rock = Image.composite(
        ImageChops.screen(rock, Image.new("RGB", size, (46, 36, 34))),
        rock,
        levels(clouds(random, size, (14, 30), 5), 100, 190),
    )
    picture.paste(rock, mask=cliff.filter(ImageFilter.GaussianBlur(1.2)))
    tower(picture)
    picture = glow(picture, (742, 470), 330, (255, 226, 150), 0.85)
    return grain(random, picture, 0.07)


def tower(picture: Image.Image) -> None:
    """The lighthouse itself, drawn large and shrunk for smooth edges."""
    zoom = 3
    large = Image.new("RGBA", (400 * zoom, 800 * zoom))
    draw = ImageDraw.Draw(large)

    def quad(top: float, bottom: float, colour: Colour) -> None:
        left, right = (
            (200 - 52 - 34 * (y / 800) for y in (top, bottom)),
            (200 + 52 + 34 * (y / 800) for y in (top, bottom)),
        )
        (a, d), (b, c) = left, right
        draw.polygon([(v * zoom, y * zoom) for v, y in ((a, top), (b, top), (c, bottom), (d, bottom))], fill=colour)

    for band in range(6):
        quad(150 + band * 100, 250 + band * 100, (196, 66, 58) if band % 2 else (238, 230, 222))
    for top, bottom, half, colour in (
        (130, 152, 92, (52, 54, 66)),
        (62, 130, 50, (255, 244, 206)),
        (50, 64, 66, (52, 54, 66)),
    ):
        draw.rectangle([(200 - half) * zoom, top * zoom, (200 + half) * zoom, bottom * zoom], fill=colour)
    for x in (166, 200, 234):
        draw.rectangle([(x - 2) * zoom, 62 * zoom, (x + 2) * zoom, 130 * zoom], fill=(70, 70, 78))
    draw.polygon([(v * zoom, y * zoom) for v, y in ((134, 50), (266, 50), (200, 4))], fill=(150, 44, 44))
    for y in (330, 530):
        draw.rounded_rectangle([190 * zoom, y * zoom, 210 * zoom, (y + 38) * zoom], 9 * zoom, fill=(48, 50, 62))
    shade = Image.linear_gradient("L").rotate(90).resize(large.size).point([max(0, 150 - v) for v in range(256)])
    dark = Image.new("RGBA", large.size, (20, 22, 44, 255))
    large = Image.composite(Image.composite(dark, large, shade), large, large.getchannel("A"))
    small = large.resize((400, 800), Image.Resampling.LANCZOS)
    picture.paste(small, (742 - 200, 470 - 96), small)


def mountains() -> Image.Image:
    """Ridge behind ridge in the morning mist, 12 megapixels."""
    random, size = Random(23), (4000, 3000)
    picture = gradient(
        size, [(0, (88, 132, 184)), (0.3, (166, 194, 218)), (0.5, (246, 222, 196)), (1, (250, 226, 196))]
    )
    veil = ImageChops.multiply(
        levels(clouds(random, (1000, 750), (2, 5)), 125, 205),
        gradient((1000, 750), [(0, (170, 170, 170)), (0.4, (190, 190, 190)), (0.6, (0, 0, 0)), (1, (0, 0, 0))]).convert(
            "L"
        ),
    ).resize(size, Image.Resampling.BICUBIC)
    picture.paste((255, 244, 232), mask=veil)
    picture = glow(picture, (2900, 1230), 1500, (120, 96, 50), 0.9)
    haze, near = (232, 214, 204), (18, 40, 44)
    layers = 7
    for layer in range(layers):
        depth = layer / (layers - 1)
        line = ridge(random, 4000, 0.95 - 0.35 * depth, 6 + layer)
        base, height = 1330 + 1480 * depth**1.25, 330 - 190 * depth
        mask = below(size, line, base, height).filter(ImageFilter.GaussianBlur(2))
        colour = mix((150, 166, 188), near, depth**0.8)
        body = gradient(
            (8, 3000),
            [
                (0, colour),
                (max(0.05, (base - height) / 3000), colour),
                (min(1.0, (base + 520) / 3000), mix(colour, haze, 0.75 - 0.45 * depth)),
                (1, haze),
            ],
        ).resize(size)
        if 0 < layer < 5:
            slopes = levels(clouds(random, (1000, 750), (9 + 4 * layer, 9), 5), 96, 200).resize(
                size, Image.Resampling.BICUBIC
            )
            body = Image.composite(body, Image.blend(body, Image.new("RGB", size, near), 0.16), slopes)
        picture.paste(body, mask=mask)
        if layer >= 4:
            forest(random, picture, line, base, height, (layer - 3) / 3, mix(colour, near, 0.4))
    return grain(random, picture, 0.035)


def forest(
    random: Random, picture: Image.Image, line: Sequence[float], base: float, height: float, near: float, colour: Colour
) -> None:
    """Firs along a ridge."""
    mask = Image.new("L", picture.size)
    draw = ImageDraw.Draw(mask)
    x = 0.0
    while x < picture.width:
        foot = base - height * line[int(x)] + 14
        tall = (60 + 230 * near**1.4) * random.uniform(0.5, 1.1)
        wide = tall * random.uniform(0.15, 0.21)
        for step in range(5):
            top, spread = foot - tall + step * tall * 0.17, wide * (0.32 + 0.17 * step)
            draw.polygon([(x, top), (x - spread, top + tall * 0.33), (x + spread, top + tall * 0.33)], fill=255)
        x += wide * random.uniform(0.5, 1.3)
    picture.paste(colour, mask=mask.filter(ImageFilter.GaussianBlur(1.5)))


def balloon() -> Image.Image:
    """A hot-air balloon on nothing at all."""
    zoom, size = 2, (900, 1200)
    width, height = size[0] * zoom, size[1] * zoom
    picture = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(picture)
    cx, cy, radius = 450 * zoom, 420 * zoom, 380 * zoom
    colours: list[Colour] = [(214, 73, 62), (244, 166, 74), (250, 226, 168), (84, 160, 160), (44, 92, 128)]

    def half(y: float) -> float:
        """Half the width of the envelope at a height."""
        at = (y - (cy - radius)) / (radius * 2.3)
        if at < 0.4348:
            return radius * math.sqrt(max(0.0, 1 - ((y - cy) / radius) ** 2))
        return radius * (1 - 0.78 * math.pow((at - 0.4348) / 0.5652, 1.75))

    top, bottom = cy - radius, round(cy + radius * 1.3)
    gores = 14
    for gore in range(gores):
        low, high = (math.sin(math.pi * (g / gores - 0.5)) for g in (gore, gore + 1))
        left = [(cx + half(y) * low, y) for y in range(top, bottom, 4)]
        right = [(cx + half(y) * high, y) for y in range(top, bottom, 4)]
        draw.polygon([*left, *reversed(right)], fill=colours[min(gore, gores - 1 - gore) % len(colours)])
    band = [y for y in range(top, bottom, 4) if 0.44 < (y - top) / (bottom - top) < 0.53]
    draw.polygon(
        [*[(cx - half(y), y) for y in band], *[(cx + half(y), y) for y in reversed(band)]], fill=(250, 240, 220, 235)
    )
    shape = picture.getchannel("A")
    light = Image.radial_gradient("L").resize((round(radius * 3.6), round(radius * 3.6)))
    shade = Image.new("L", picture.size, 255)
    shade.paste(light, (cx - round(radius * 2.2), cy - round(radius * 2.3)))
    dark = Image.composite(
        Image.new("RGB", picture.size, (30, 24, 62)),
        picture.convert("RGB"),
        shade.point([min(150, max(0, v - 70)) for v in range(256)]),
    )
    bright = Image.composite(
        Image.new("RGB", picture.size, (255, 250, 235)), dark, shade.point([max(0, 90 - v * 2) for v in range(256)])
    )
    picture = bright.convert("RGBA")
    picture.putalpha(shape)
    draw = ImageDraw.Draw(picture)
    basket = (cx - 62 * zoom, 1056 * zoom, cx + 62 * zoom, 1150 * zoom)
    for x in (-0.86, -0.3, 0.3, 0.86):
        draw.line(
            [(cx + half(bottom - 4) * x, bottom - 4), (cx + 58 * zoom * x, basket[1] + 8)],
            fill=(74, 58, 52, 255),
            width=3 * zoom,
        )
    draw.rounded_rectangle(basket, 14 * zoom, fill=(150, 102, 62, 255))
    for row in range(6):
        y = basket[1] + (row + 0.5) * 15 * zoom
        for column in range(9):
            x = basket[0] + (column + (row % 2) / 2) * 14 * zoom
            draw.rounded_rectangle(
                (x, y, x + 11 * zoom, y + 8 * zoom),
                3 * zoom,
                fill=(176, 126, 80, 255) if (row + column) % 2 else (128, 84, 52, 255),
            )
    draw.rounded_rectangle(
        (basket[0] - 4 * zoom, basket[1], basket[2] + 4 * zoom, basket[1] + 14 * zoom), 6 * zoom, fill=(92, 62, 44, 255)
    )
    return picture.resize(size, Image.Resampling.LANCZOS)


def lights() -> Image.Image:
    """The lights of a town, out of focus."""
    random, size = Random(3), (1600, 1067)
    picture = gradient(size, [(0, (10, 12, 32)), (0.55, (30, 24, 58)), (1, (14, 10, 26))])
    colours: list[Colour] = [
        (255, 176, 84),
        (255, 112, 72),
        (255, 222, 150),
        (104, 170, 255),
        (208, 96, 190),
        (120, 224, 196),
    ]
    for count, blur, low, high, strength in ((60, 14, 60, 130, 0.34), (90, 4, 28, 74, 0.45), (120, 1.2, 8, 30, 0.62)):
        layer = Image.new("RGB", size)
        for _ in range(count):
            radius = random.uniform(low, high)
            x, y = random.uniform(0, 1600), random.gauss(610, 190)
            colour = mix((0, 0, 0), random.choice(colours), strength * random.uniform(0.4, 1))
            side = round(radius * 2) + 4
            disc, rim = Image.new("L", (side * 2, side * 2)), 3
            pen = ImageDraw.Draw(disc)
            pen.ellipse((4, 4, side * 2 - 5, side * 2 - 5), fill=255)
            pen.ellipse((4 + rim * 2, 4 + rim * 2, side * 2 - 5 - rim * 2, side * 2 - 5 - rim * 2), fill=190)
            spot = Image.new("RGB", size)
            spot.paste(
                colour,
                (round(x) - side // 2, round(y) - side // 2),
                disc.resize((side, side), Image.Resampling.LANCZOS),
            )
            layer = ImageChops.screen(layer, spot)
        picture = ImageChops.screen(picture, layer.filter(ImageFilter.GaussianBlur(blur)))
    return grain(random, picture, 0.05)


# --- the table ----------------------------------------------------------------------------------------

PRODUCTS = {
    "Espresso beans 1 kg": 21.5,
    "Filter coffee 500 g": 11.9,
    "Green tea, loose": 8.4,
    "Hand grinder": 64.0,
    "Glass carafe": 32.0,
}
REGIONS = {"North": 1.0, "South": 1.3, "West": 0.8}


def sales() -> list[list[str]]:
    """A year of a small shop's orders: a summer dip, a strong December, steady growth."""
    random = Random(7)
    rows = [["date", "order", "region", "product", "units", "unit_price", "discount_pct", "revenue"]]
    day = date(2024, 1, 2)
    for number in range(1, 241):
        if day.year > 2024:
            break
        product = random.choices(list(PRODUCTS), [9, 8, 6, 2, 3])[0]
        region = random.choices(list(REGIONS), list(REGIONS.values()))[0]
        season = 1 + 0.45 * math.cos((day.month - 12) / 12 * 2 * math.pi) + 0.002 * number
        price = PRODUCTS[product]
        units = max(1, round(random.gauss(600 / price, 90 / price) * season * REGIONS[region]))
        discount = random.choices([0, 5, 10, 15], [10, 4, 3, 1])[0]
        revenue = units * price * (1 - discount / 100)
        rows.append(
            [
                day.isoformat(),
                f"SO-{24000 + number}",
                region,
                product,
                str(units),
                f"{price:.2f}",
                str(discount),
                f"{revenue:.2f}",
            ]
        )
        day += timedelta(days=random.choice([0, 1, 1, 2, 2, 3, 3]))
    return rows


def main(folder: Path) -> None:
    """Write all samples into a folder."""
    harbour().save(folder / "harbour.jpg", quality=84, optimize=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    turned[0x010F] = "heavylift samples"
    upright = lighthouse()
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "lighthouse.jpg", quality=84, optimize=True, exif=turned)
    mountains().save(folder / "mountains.jpg", quality=78, optimize=True, progressive=True)
    balloon().save(folder / "balloon.png", optimize=True)
    lights().save(folder / "lights.webp", quality=82, method=6)
    with (folder / "sales.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(sales())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
