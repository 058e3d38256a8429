"""Speech of espeak-ng, through its library: no process and no file for each sentence."""
import ctypes
import ctypes.util
import functools

import numpy as np

RATE = 16000  # of everything that is written; espeak-ng itself speaks at 22050 Hz
TRAINING = ("en-us", "en-us+f2", "gmw/en+m3", "gmw/en+f4")
HELD_OUT = "en-gb-x-rp+f3"  # nobody trains with it
_SYNCHRONOUS, _CHARS_UTF8, _ENDPAUSE = 0x02, 1, 0x1000
_SPEED, _PITCH = 1, 3


class Espeak:
    def __init__(self):
        name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
        try:
            self.lib = ctypes.CDLL(name)
        except OSError:
            raise SystemExit("espeak-ng is missing: ./dev setup installs it") from None
        self.rate = self.lib.espeak_Initialize(_SYNCHRONOUS, 0, None, 0)
        if self.rate <= 0:
            raise SystemExit("espeak-ng does not start: is espeak-ng-data installed?")
        self.parts = []
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = callback(self._take)  # kept: the library calls it later
        self.lib.espeak_SetSynthCallback(self._callback)

    def _take(self, wav, count, _events):
        if wav and count > 0:
            self.parts.append(np.ctypeslib.as_array(wav, (count,)).copy())
        return 0

    def speak(self, text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
        """Samples in [-1, 1] at `self.rate`."""
        if self.lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SystemExit(f"espeak-ng has no voice {voice}")
        self.lib.espeak_SetParameter(_SPEED, speed, 0)
        self.lib.espeak_SetParameter(_PITCH, pitch, 0)
        self.parts = []
        data = text.encode() + b"\0"
        self.lib.espeak_Synth(data, len(data), 0, 1, 0, _CHARS_UTF8, None, None)
        self.lib.espeak_Synchronize()
        samples = np.concatenate(self.parts) if self.parts else np.zeros(1, np.int16)
        return samples.astype(np.float64) / 32768


@functools.cache
def espeak() -> Espeak:
    return Espeak()


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """To RATE, by cutting the spectrum: short clips with silence at both ends have nothing to ring about."""
    count = int(round(len(samples) * RATE / rate))
    spectrum = np.fft.rfft(samples)
    keep = count // 2 + 1
    if keep <= len(spectrum):
        spectrum = spectrum[:keep]
    else:
        spectrum = np.pad(spectrum, (0, keep - len(spectrum)))
    return np.fft.irfft(spectrum, count) * (count / len(samples))


def trim(samples: np.ndarray, rng) -> np.ndarray:
    """Without espeak-ng's own silence; 30 to 130 ms stay at each end."""
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    if len(loud) == 0:
        return samples
    soft = int(RATE * 0.03)  # an f or an s begins and ends below that level
    spoken = samples[max(0, loud[0] - soft):loud[-1] + 1 + soft]
    pads = [np.zeros(int(RATE * rng.uniform(0, 0.1))) for _ in range(2)]
    return np.concatenate([pads[0], spoken, pads[1]])


def say(rng, text: str, voice: str) -> np.ndarray:
    """One utterance at RATE, peak 1, speed and pitch somewhat different each time."""
    machine = espeak()
    samples = machine.speak(text, voice, rng.randint(150, 190), rng.randint(42, 58))
    samples = trim(resample(samples, machine.rate), rng)
    return samples / max(1e-9, np.abs(samples).max())


def record(rng, samples: np.ndarray) -> np.ndarray:
    """As a microphone would hear it: some gain, some noise. int16."""
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 1, len(samples))
    level = 10 ** (rng.uniform(-55, -32) / 20)  # of the noise against the speech's peak
    gain = rng.uniform(0.2, 0.9)
    mixed = np.clip((samples + level * noise) * gain, -1, 1)
    return np.round(mixed * 32767).astype("<i2")
