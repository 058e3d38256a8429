"""Writes tests/media/fixtures: small files of every format, and hashes of what the reference's libraries decode them to.

    python make_media_fixtures.py

Needs pillow, av, soundfile, soxr, numpy and the program ffmpeg. pictures.json: size and FNV-1a hash of
ImageOps.exif_transpose(Image.open(f)).convert("RGB"), but 16-bit grey keeps its high byte. films.json: label, size, mean colour and hash of the frames that the
sampling rule takes (hashes only where the film is lossless RGB). pictures-on-white.json: the transparent ones pasted onto white; a
transparent grey of few bits is compared before it is scaled, which Pillow does not do. text-on-transparent.png, transparent.webp,
grey16-ramp.png, orientation6-xmp.jpg and photo.* are not made here. sounds.json: samples after soxr HQ.
"""
import json, math, pathlib, struct, subprocess, zlib
import av, numpy as np, soundfile, soxr
from PIL import Image, ImageOps
from make_resize_fixtures import fnv1a

OUT = pathlib.Path(__file__).parents[1] / "media" / "fixtures"
RNG = np.random.default_rng(5)
WIDTH, HEIGHT = 37, 23


def pixels(channels):
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [128 + 100 * np.sin(x / 5 + k) + 25 * np.cos(y / (2 + k)) for k in range(channels)]
    return np.clip(np.stack(waves, -1) + RNG.normal(0, 6, (HEIGHT, WIDTH, channels)), 0, 255).astype(np.uint8)


def png(name, depth, color, interlaced=0, palette=None, transparent=None, levels=256):
    """A PNG of random samples in a kind that Pillow does not write."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    row = (WIDTH * depth * channels + 7) // 8
    samples = lambda: (RNG.integers(0, levels, row) * (255 // (levels - 1))).astype(np.uint8)
    raw = b"".join(b"\0" + samples().tobytes() for _ in range(HEIGHT))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color, 0, 0, interlaced)
    (OUT / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (chunk(b"PLTE", palette) if palette else b"") +
                             (chunk(b"tRNS", transparent) if transparent else b"") +
                             chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def make_pictures():
    rgb, rgba, grey = Image.fromarray(pixels(3)), Image.fromarray(pixels(4), "RGBA"), Image.fromarray(pixels(1)[..., 0])
    palette = rgb.quantize(29)
    for ext in ("png", "bmp", "tif", "gif", "jpg"):
        grey.save(OUT / f"grey.{ext}")
    for ext in ("png", "bmp", "tif"):
        rgb.save(OUT / f"rgb.{ext}"); rgba.save(OUT / f"rgba.{ext}"); palette.save(OUT / f"palette.{ext}")
        grey.convert("1").save(OUT / f"bilevel.{ext}")
    Image.merge("LA", (grey, grey.rotate(180))).save(OUT / "grey-alpha.png")
    palette.save(OUT / "palette-transparent.png", transparency=3)
    palette.save(OUT / "palette.gif"); palette.save(OUT / "transparent.gif", transparency=3)
    palette.save(OUT / "interlaced.gif", interlace=1)
    palette.save(OUT / "animated.gif", save_all=True, append_images=[palette.rotate(180)], duration=400)
    for name, other in (("large-canvas", "palette"), ("large-canvas-transparent", "transparent")):
        data = bytearray((OUT / f"{other}.gif").read_bytes()); data[6], data[8] = 60, 50
        (OUT / f"{name}.gif").write_bytes(data)
    for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        rgb.save(OUT / f"{kind}.tif", compression=kind)
    for subsampling in (0, 1, 2):
        for progressive in (False, True):
            name = f"subsampling{subsampling}{'-progressive' if progressive else ''}.jpg"
            rgb.save(OUT / name, subsampling=subsampling, quality=85, progressive=progressive)
    rgb.convert("CMYK").save(OUT / "cmyk.jpg")
    rgb.save(OUT / "lossy.webp"); rgb.save(OUT / "lossless.webp", lossless=True); rgba.save(OUT / "alpha.webp")
    rgba.save(OUT / "animated.webp", save_all=True, append_images=[rgba.rotate(180)])
    for depth in (1, 2, 4, 8, 16):
        png(f"png-grey{depth}.png", depth, 0)
    for color in (2, 4, 6):
        png(f"png-color{color}-16.png", 16, color)
    png("png-palette4-short.png", 4, 3, palette=bytes(range(30)))
    png("png-palette2.png", 2, 3, palette=bytes(range(100, 112)))
    png("trns-grey2.png", 2, 0, transparent=b"\0\2"); png("trns-grey8.png", 8, 0, transparent=b"\0\x40")
    png("trns-rgb8.png", 8, 2, transparent=struct.pack(">HHH", 85, 170, 0), levels=4)
    png("trns-palette4.png", 4, 3, palette=bytes(range(48)), transparent=bytes(range(0, 256, 20)))
    for name, kind in (("rgb555.bmp", "rgb555le"), ("rgb565.bmp", "rgb565le")):
        subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-i", OUT / "rgb.png", "-pix_fmt", kind, OUT / name], check=True)
    for orientation in range(1, 9):
        exif = Image.Exif(); exif[0x112] = orientation
        rgb.save(OUT / f"orientation{orientation}.jpg", exif=exif, quality=70)
    exif = Image.Exif(); exif[0x112] = 6
    rgb.save(OUT / "orientation6.png", exif=exif); rgb.save(OUT / "orientation6.tif", exif=exif)
    rgb.save(OUT / "orientation6.webp", exif=exif, lossless=True)
    record, white = {}, {}
    for path in sorted(OUT.iterdir()):
        if path.suffix in (".png", ".jpg", ".gif", ".webp", ".bmp", ".tif"):
            picture = ImageOps.exif_transpose(Image.open(path))
            if picture.mode.startswith("I;16"):  # which Pillow cuts off at 255
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            decoded = picture.convert("RGB")
            record[path.name] = dict(width=decoded.width, height=decoded.height, hash=fnv1a(decoded.tobytes()))
            if not picture.has_transparency_data or path.suffix == ".bmp":
                continue
            rgba, ground = picture.convert("RGBA"), Image.new("RGB", picture.size, (255, 255, 255))
            ground.paste(rgba, mask=rgba.split()[3])
            if path.name == "trns-grey2.png":
                values = np.asarray(decoded).copy(); values[values == 170] = 255; ground = Image.fromarray(values)
            white[path.name] = dict(width=ground.width, height=ground.height, hash=fnv1a(ground.tobytes()))
    (OUT / "pictures-on-white.json").write_text(json.dumps(white, indent=0) + "\n")
    (OUT / "pictures.json").write_text(json.dumps(record, indent=0) + "\n")


def sampled(path, rate):
    """The first frame at or after each k / rate, labelled floor(k / rate)."""
    frames, due = [], 0.0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            time = float(frame.pts * frame.time_base)
            if time >= due - 1e-6:
                k = math.floor(time * rate + 1e-6)
                frames.append((math.floor(k / rate), frame.to_ndarray(format="rgb24"))); due = (k + 1) / rate
    return frames


def make_films():
    make = lambda name, rate, *options: subprocess.run(
        ["ffmpeg", "-y", "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc2=size=64x48:rate={rate}:duration=3.5", "-f", "lavfi",
         "-i", "sine=frequency=440:sample_rate=44100:duration=3.5", *options, "-threads", "1", "-shortest", OUT / name], check=True)
    h264 = ("-c:v", "libx264", "-crf", "30", "-c:a", "aac", "-b:a", "32k")
    make("h264.mp4", "30000/1001", *h264, "-pix_fmt", "yuv420p")
    make("vp9.webm", 12, "-c:v", "libvpx-vp9", "-b:v", "60k", "-c:a", "libopus", "-b:a", "24k")
    make("silent.mkv", 5, "-an", "-c:v", "libx264rgb", "-qp", "0", "-preset", "veryslow")
    make("bt709.mov", 8, *h264, "-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709", "-color_range", "tv")
    make("av1.mp4", 6, "-c:v", "libaom-av1", "-cpu-used", "8", "-b:v", "40k", "-an")
    for turn in (90, 180, 270):  # this ffmpeg writes a matrix that turns counter-clockwise
        subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-i", OUT / "silent.mkv", "-t", "1.2", "-c", "copy", "-metadata:s:v",
                        f"rotate={turn}", OUT / f"turned{turn}.mov"], check=True)
    # The same film by a clock that begins at 3.7 s.
    copy = lambda name, before, after: subprocess.run(
        ["ffmpeg", "-y", "-loglevel", "error", *before, "-i", OUT / "silent.mkv", "-c", "copy", *after, OUT / name], check=True)
    copy("late.mkv", (), ("-output_ts_offset", "3.7")); copy("late-edit-list.mp4", ("-itsoffset", "3.7"), ())
    record = []
    lossless = ("silent.mkv", "turned90.mov", "turned180.mov", "turned270.mov")
    for name in ("h264.mp4", "vp9.webm", "silent.mkv", "bt709.mov", "av1.mp4", "animated.gif") + lossless[1:]:
        turn = int(name[6:-4]) if name.startswith("turned") else 0
        for rate in (1.0, 2.5, 0.4):
            frames = [(label, np.ascontiguousarray(np.rot90(f, turn // 90))) for label, f in sampled(OUT / name, rate)]
            record.append(dict(name=name, rate=rate, sound=name in ("h264.mp4", "vp9.webm", "bt709.mov"), frames=[
                dict(label=label, width=f.shape[1], height=f.shape[0], mean=[round(float(m), 2) for m in f.mean(axis=(0, 1))],
                     hash=fnv1a(f.tobytes()) if name in lossless else "") for label, f in frames]))
    (OUT / "films.json").write_text("[\n" + ",\n".join(json.dumps(r) for r in record) + "\n]\n")


def make_sounds():
    time = np.arange(9000) / 44100
    stereo = np.stack([np.sin(2 * np.pi * (200 + 3000 * time) * time), np.cos(2 * np.pi * 500 * time)], -1) * 0.7
    soundfile.write(OUT / "chirp.wav", stereo, 44100, subtype="PCM_16")
    convert = lambda name, *options: subprocess.run(
        ["ffmpeg", "-y", "-loglevel", "error", "-i", OUT / "chirp.wav", *options, OUT / name], check=True)
    convert("s24.wav", "-c:a", "pcm_s24le", "-ar", "48000"); convert("u8.wav", "-c:a", "pcm_u8", "-ar", "8000", "-ac", "1")
    convert("f32.wav", "-c:a", "pcm_f32le", "-ar", "16000", "-ac", "1"); convert("mulaw.wav", "-c:a", "pcm_mulaw", "-ar", "8000")
    convert("chirp.flac", "-sample_fmt", "s16"); convert("chirp24.flac", "-c:a", "flac", "-sample_fmt", "s32")
    convert("chirp.mp3", "-c:a", "libmp3lame", "-b:a", "64k"); convert("vorbis.ogg", "-c:a", "libvorbis", "-q:a", "2", "-page_duration", "50000")
    convert("opus.ogg", "-c:a", "libopus", "-b:a", "32k"); convert("chirp.m4a", "-c:a", "aac", "-b:a", "48k")
    convert("chirp.aiff", "-ar", "8000", "-ac", "1"); convert("chirp.caf", "-ar", "8000", "-ac", "1", "-c:a", "pcm_s16le")
    convert("sound.webm", "-ar", "16000", "-ac", "1", "-c:a", "libopus", "-b:a", "24k")
    convert("sound.mp4", "-c:a", "aac", "-b:a", "48k", "-f", "mp4", "-brand", "isom")
    for name in ("chirp.wav", "s24.wav", "u8.wav", "f32.wav", "mulaw.wav", "chirp.flac", "chirp24.flac", "chirp.mp3", "vorbis.ogg", "opus.ogg"):
        samples, rate = soundfile.read(OUT / name, dtype="float32")
        mono = samples.mean(axis=1) if samples.ndim > 1 else samples
        out = mono if rate == 16000 else soxr.resample(mono, rate, 16000, quality="HQ")
        out.astype("<f4").tofile(OUT / (name + ".f32"))


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    make_pictures(); make_films(); make_sounds()
