"""Makes config/: pebble's shape, its vocabulary and what belongs to them. The same command gives the same files.

    examples/pebble/python examples/pebble/make_model.py
"""
import argparse
import collections
import json
import pathlib
import random
import re
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
from pebble import render  # noqa: E402
from pebble.media import MediaWriter  # noqa: E402
from pebble.skills import SKILLS  # noqa: E402
from pebble.split import TRAIN, split_of  # noqa: E402

VOCABULARY = 3072
TEXTS = 4000  # of each skill
CONTROL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
# Gemma 4's special tokens, by the name that tokenizer_config.json gives each.
SPECIAL = {
    "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>", "audio_token": "<|audio|>",
    "boa_token": "<|audio>", "eoa_token": "<audio|>", "sot_token": "<|turn>", "eot_token": "<turn|>",
    "soc_token": "<|channel>", "eoc_token": "<channel|>", "think_token": "<|think|>", "escape_token": '<|"|>',
    "str_token": "<|tool_response>", "etr_token": "<tool_response|>", "stc_token": "<|tool_call>", "etc_token": "<tool_call|>",
    "std_token": "<|tool>", "etd_token": "<tool|>",
}
VIDEO = "<|video|>"
BYTES = [f"<0x{b:02X}>" for b in range(256)]

# Merges never cross these: a word with the space before it, a digit, a run of signs, a line's end with its indentation.
UNIT = re.compile(r"\n+ *| ?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+|\s")


def corpus():
    """Texts of training examples as the model reads them."""
    media = MediaWriter(None, "")
    for skill in SKILLS.values():
        for i in range(TEXTS):
            rng = random.Random(f"vocabulary {skill.name} {i}")
            while split_of((plan := skill.plan(rng, TRAIN))["key"]) != TRAIN:
                pass
            media.begin(str(i))
            yield render.render(skill.build(plan, rng, media, TRAIN))
    for second in range(600):
        yield f"{second // 60:02d}:{second % 60:02d} "


def make_tokenizer(out: pathlib.Path):
    special = CONTROL + list(SPECIAL.values()) + [VIDEO]
    cut = re.compile("|".join(map(re.escape, special)))
    units = collections.Counter()
    for text in corpus():
        for piece in cut.split(text):
            units.update(u.replace(" ", "\u2581") for u in UNIT.findall(piece))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special + BYTES, show_progress=False, limit_alphabet=200,
        initial_alphabet=["\n", "\t", "\u2581"] + [chr(c) for c in range(33, 127)])
    plain = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    ordered = sorted(units.items())
    plain.train_from_iterator((u for u, n in ordered for _ in range(n)), trainer)
    state = json.loads(plain.to_str())["model"]
    tokenizer = Tokenizer(models.BPE(vocab=state["vocab"], merges=[tuple(m) for m in state["merges"]], unk_token="<unk>",
                                     fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    tokenizer.save(str(out / "tokenizer.json"))
    write(out / "tokenizer_config.json", {
        "tokenizer_class": "GemmaTokenizer", "processor_class": "Gemma4UnifiedProcessor", "bos_token": "<bos>", "eos_token": "<eos>",
        "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>", "padding_side": "left",
        "extra_special_tokens": [VIDEO], "model_max_length": SHAPE["context"], **SPECIAL, "model_specific_special_tokens": SPECIAL})
    return {t: i for i, t in enumerate(special)}


# Three sliding layers, then a full one, twice. README.md says why these numbers.
SHAPE = {"width": 256, "ffn": 768, "layers": 8, "heads": 4, "head": 64, "kv": 2, "full_head": 128, "full_kv": 1, "window": 512,
         "context": 8192, "positions": 1120, "features": 512}


def config(ids: dict) -> dict:
    s = SHAPE
    full = [i for i in range(s["layers"]) if i % 4 == 3]
    text = {
        "model_type": "gemma4_unified_text", "vocab_size": VOCABULARY, "hidden_size": s["width"], "intermediate_size": s["ffn"],
        "num_hidden_layers": s["layers"], "num_attention_heads": s["heads"], "num_key_value_heads": s["kv"], "head_dim": s["head"],
        "layer_types": ["full_attention" if i in full else "sliding_attention" for i in range(s["layers"])],
        "per_layer_config": {str(i): {"head_dim": s["full_head"], "num_key_value_heads": s["full_kv"]} for i in full},
        "attention_k_eq_v": True, "attention_bias": False, "attention_dropout": 0.0, "sliding_window": s["window"],
        "max_position_embeddings": s["context"], "hidden_activation": "gelu_pytorch_tanh", "final_logit_softcapping": 30.0,
        "rms_norm_eps": 1e-06, "initializer_range": 0.02, "num_kv_shared_layers": 0, "tie_word_embeddings": True,
        "use_bidirectional_attention": "vision", "use_cache": True, "use_double_wide_mlp": False,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "proportional", "rope_theta": 1000000.0, "partial_rotary_factor": 0.25}},
        "pad_token_id": ids["<pad>"], "bos_token_id": ids["<bos>"], "eos_token_id": [ids["<eos>"], ids["<turn|>"]],
    }
    return {
        "architectures": ["Gemma4UnifiedForConditionalGeneration"], "model_type": "gemma4_unified", "dtype": "float32",
        "tie_word_embeddings": True, "initializer_range": 0.02, "text_config": text,
        "vision_config": {"model_type": "gemma4_unified_vision", "mm_embed_dim": s["features"], "output_proj_dims": s["features"],
                          "mm_posemb_size": s["positions"], "patch_size": 16, "pooling_kernel_size": 3, "rms_norm_eps": 1e-06,
                          "initializer_range": 0.02},
        "audio_config": {"model_type": "gemma4_unified_audio", "audio_embed_dim": 640, "rms_norm_eps": 1e-06,
                         "initializer_range": 0.02},
        "image_token_id": ids["<|image|>"], "boi_token_id": ids["<|image>"], "eoi_token_id": ids["<image|>"],
        "audio_token_id": ids["<|audio|>"], "boa_token_id": ids["<|audio>"], "eoa_token_index": ids["<audio|>"],
        "video_token_id": ids[VIDEO],
    }


def generation(ids: dict) -> dict:
    soft = ["<|image|>", "<|audio|>", VIDEO, "<|image>", "<image|>", "<|audio>", "<audio|>"]
    return {"bos_token_id": ids["<bos>"], "pad_token_id": ids["<pad>"],
            "eos_token_id": [ids["<eos>"], ids["<turn|>"], ids["<|tool_response>"]], "suppress_tokens": [ids[t] for t in soft],
            "do_sample": False}


def processor() -> dict:
    """Pictures of at most 70 soft tokens: what pebble is trained with."""
    budget = 70
    pictures = {"do_convert_rgb": True, "do_rescale": True, "do_resize": True, "image_mean": [0.0] * 3, "image_std": [1.0] * 3,
                "max_soft_tokens": budget, "patch_size": 16, "pooling_kernel_size": 3, "resample": 3,
                "rescale_factor": 1 / 255}
    return {
        "processor_class": "Gemma4UnifiedProcessor", "audio_ms_per_token": 40, "audio_seq_length": 750, "image_seq_length": budget,
        "feature_extractor": {
            "feature_extractor_type": "Gemma4UnifiedAudioFeatureExtractor", "audio_samples_per_token": 640, "feature_size": 640,
            "sampling_rate": 16000, "padding_side": "right", "padding_value": 0.0, "return_attention_mask": True},
        "image_processor": {**pictures, "do_normalize": False, "image_processor_type": "Gemma4UnifiedImageProcessor"},
        "video_processor": {**pictures, "do_normalize": True, "do_sample_frames": True, "num_frames": 32, "return_metadata": False,
                            "video_processor_type": "Gemma4UnifiedVideoProcessor"}}


def write(path: pathlib.Path, value: dict):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "config")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    ids = make_tokenizer(out)
    write(out / "config.json", config(ids))
    write(out / "generation_config.json", generation(ids))
    write(out / "processor_config.json", processor())
    if out.resolve() != (HERE / "config").resolve():
        (out / "chat_template.jinja").write_text((HERE / "config/chat_template.jinja").read_text())


if __name__ == "__main__":
    main()
