"""An example as the model reads it: the template's text, and how many soft tokens its media have."""
import json
import math
import pathlib
import subprocess
import wave

import jinja2
from PIL import Image

from . import media

HERE = pathlib.Path(__file__).parent.parent
_ENVIRONMENT = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
_TEMPLATE = _ENVIRONMENT.from_string((HERE / "config/chat_template.jinja").read_text())


def _plain(message: dict) -> dict:
    """Arguments as an object, which is what templates take."""
    calls = [{**c, "function": {**c["function"], "arguments": json.loads(c["function"]["arguments"])}}
             for c in message.get("tool_calls", [])]
    return {**message, "tool_calls": calls} if calls else message


def render(example: dict) -> str:
    return _TEMPLATE.render(messages=[_plain(m) for m in example["messages"]], tools=example.get("tools"), bos_token="<bos>",
                            add_generation_prompt=False)


def answers(example: dict) -> list:
    """What is learnt: the text of each assistant turn, calls in Gemma 4's notation."""
    out = []
    for m in example["messages"]:
        if m["role"] != "assistant":
            continue
        calls = ""
        for c in m.get("tool_calls", []):
            pairs = ",".join(f'{k}:<|"|>{v}<|"|>' if isinstance(v, str) else f"{k}:{v}"
                             for k, v in sorted(json.loads(c["function"]["arguments"]).items()))
            calls += f"<|tool_call>call:{c['function']['name']}{{{pairs}}}<tool_call|><|tool_response>"
        out.append(m["content"] + calls + ("" if calls else "<turn|>"))
    return out


def patches(width: int, height: int, budget: int = media.BUDGET) -> int:
    """Soft tokens of a picture (none of the recipe's is so narrow that a side would vanish)."""
    f = math.sqrt(budget * 48 * 48 / (height * width))
    return math.floor(f * width / 48) * math.floor(f * height / 48)


def soft_tokens(example: dict, root: pathlib.Path) -> int:
    count = 0
    for m in example["messages"]:
        for part in m["content"] if isinstance(m["content"], list) else []:
            if part["type"] == "image":
                with Image.open(root / part["path"]) as image:
                    count += patches(*image.size)
            elif part["type"] == "audio":
                with wave.open(str(root / part["path"])) as sound:
                    count += math.ceil(sound.getnframes() / 640)
            elif part["type"] == "video":
                seconds = float(subprocess.run(
                    ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(root / part["path"])],
                    capture_output=True, text=True, check=True).stdout)
                # Each frame with its label "mm:ss" and its two borders.
                count += math.ceil(seconds) * (patches(media.SIDE, media.SIDE) + 9)
    return count
