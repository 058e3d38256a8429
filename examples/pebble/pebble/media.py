"""Writes sounds, pictures and films beside the examples, and says how messages name them."""
import pathlib
import random
import subprocess
import wave

from . import voices

# Soft tokens of a picture at most. 384 x 384 pixels are 8 x 8 patches: nothing is scaled, nothing is lost.
BUDGET = 70
SIDE = 384
PATCH = 48  # pixels; what the model sees at once
FILM_RATE = 2  # pictures a second in the file; the model sees one a second


class MediaWriter:
    """Files of one example: FOLDER/NAME-1.wav and so on; parts carry paths relative to the JSONL file.

    What is written comes from a function that gets a random generator of its own, so that the example's text is the same
    whether the files are written or not (`root` None).
    """

    def __init__(self, root: pathlib.Path | None, folder: str):
        self.root, self.folder = root, folder
        self.name, self.count = "", 0

    def begin(self, name: str):
        self.name, self.count = name, 0

    def _path(self, suffix: str) -> str:
        self.count += 1
        if self.root is not None:
            (self.root / self.folder).mkdir(parents=True, exist_ok=True)
        return f"{self.folder}/{self.name}-{self.count}.{suffix}"

    def sound(self, rng, make) -> dict:
        """`make(rng)`: int16 at voices.RATE."""
        path, own = self._path("wav"), random.Random(rng.getrandbits(64))
        part = {"type": "audio", "path": path}
        if self.root is None:
            return part
        samples = make(own)
        with wave.open(str(self.root / path), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(voices.RATE)
            out.writeframes(samples.astype("<i2").tobytes())
        return part

    def picture(self, rng, make) -> dict:
        """`make(rng)`: a picture."""
        path, own = self._path("png"), random.Random(rng.getrandbits(64))
        if self.root is not None:
            make(own).save(self.root / path, compress_level=4)
        return {"type": "image", "path": path, "image_budget": BUDGET}

    def film(self, rng, make) -> dict:
        """`make(rng)`: frames at FILM_RATE; no sound."""
        path, own = self._path("mp4"), random.Random(rng.getrandbits(64))
        part = {"type": "video", "path": path, "video_budget": BUDGET}
        if self.root is None:
            return part
        frames = make(own)
        width, height = frames[0].size
        raw = b"".join(frame.tobytes() for frame in frames)
        subprocess.run(
            ["ffmpeg", "-y", "-loglevel", "error", "-threads", "1", "-f", "rawvideo", "-pix_fmt", "rgb24",
             "-s", f"{width}x{height}", "-r", str(FILM_RATE), "-i", "-", "-c:v", "libx264", "-preset", "ultrafast",
             "-crf", "12", "-pix_fmt", "yuv420p", "-bitexact", str(self.root / path)], input=raw, check=True)
        return part


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def user(*parts) -> dict:
    """A user's turn: a string, or parts with the media first."""
    return {"role": "user", "content": parts[0] if len(parts) == 1 and isinstance(parts[0], str) else list(parts)}


def conversation(media: dict, turns) -> list:
    """Messages of `turns`, pairs of question and answer; the first question comes with the medium."""
    messages = []
    for question, answer in turns:
        messages.append(user(question) if messages else user(media, text(question)))
        messages.append(assistant(answer))
    return messages


def assistant(words: str) -> dict:
    return {"role": "assistant", "content": words}
